"""Services that end are restarted by the policy; one that keeps ending ends all."""

from __future__ import annotations

from pathlib import Path

import pytest

from afx.errors import AfxError, UnreachableError
from afx.local import private_redis, process_tree
from afx.local.processes import LocalProcesses
from afx.local.restart_policy import RestartPolicy
from afx.local.supervisor import ChildService, Ending, LocalSupervisor, RedisService

POLICY = RestartPolicy(first_delay_seconds=1.0, stable_seconds=60.0, most_early_ends=3)


class FakeService:
    """A service that ends when a test says so."""

    def __init__(self, name: str = "w1") -> None:
        self.name = name
        self.starts = 0
        self.end: Ending | None = None
        self.start_error: AfxError | None = None

    def start(self) -> None:
        if self.start_error:
            raise self.start_error
        self.starts += 1
        self.end = None

    def ending(self) -> Ending | None:
        return self.end


class Setup:
    """A supervisor with its own clock, and its messages."""

    def __init__(self, *services: FakeService) -> None:
        self.now = 0.0
        self.lines: list[str] = []
        self.supervisor = LocalSupervisor(
            policy=POLICY, notify=self.lines.append, now=lambda: self.now
        )
        for it in services:
            self.supervisor.watch(it)

    def check_at(self, now: float) -> None:
        self.now = now
        self.supervisor.check()


def test_a_service_that_ended_is_restarted_after_the_delay_with_one_message() -> None:
    service = FakeService()
    setup = Setup(service)
    service.end = Ending("was killed")
    setup.check_at(10)
    setup.check_at(10.5)
    assert service.starts == 0
    setup.check_at(11)
    assert service.starts == 1
    assert setup.lines == ["w1 was killed; it is restarted in 1 s"]


def test_a_service_that_keeps_failing_ends_the_supervisor_with_one_sentence() -> None:
    service = FakeService()
    setup = Setup(service, FakeService("w2"))
    service.end = Ending("ended with exit code 1")
    setup.check_at(1)
    setup.check_at(2)
    service.end = Ending("ended with exit code 1")
    setup.check_at(3)
    setup.check_at(5)
    service.end = Ending("ended with exit code 1")
    with pytest.raises(AfxError, match="w1 ended with exit code 1; it ended 3 times in a row"):
        setup.check_at(6)


def test_failures_of_different_services_are_counted_separately() -> None:
    services = [FakeService(f"w{number}") for number in range(6)]
    setup = Setup(*services)
    for it in services:
        it.end = Ending("was killed")
    setup.check_at(1)
    setup.check_at(2)
    assert [it.starts for it in services] == [1] * 6


def test_a_service_that_an_operator_stopped_is_not_restarted() -> None:
    service = FakeService()
    setup = Setup(service)
    service.end = Ending("has stopped and is not restarted", is_final=True)
    for now in range(1, 100):
        setup.check_at(now)
    assert service.starts == 0
    assert setup.lines == ["w1 has stopped and is not restarted"]


def test_a_restart_that_fails_counts_as_an_end() -> None:
    service = FakeService()
    setup = Setup(service)
    service.end = Ending("has ended")
    service.start_error = UnreachableError("no server was found")
    setup.check_at(1)
    setup.check_at(2)
    assert "was not restarted (no server was found)" in setup.lines[-1]
    with pytest.raises(AfxError, match="was not restarted"):
        setup.check_at(10)


def test_a_request_to_stop_ends_the_run() -> None:
    setup = Setup()
    setup.supervisor.request_stop()
    setup.supervisor.run()


def test_a_private_redis_that_died_is_detected_and_restarted(home: Path) -> None:
    service = RedisService(home)
    service.start()
    assert service.ending() is None
    process_tree.kill(process_tree.process_tree(_redis_process(home)))
    while service.ending() is None:
        pass
    service.start()
    assert service.ending() is None
    service.stop()
    assert not private_redis.is_listening(home)


def test_a_redis_that_another_command_started_is_not_stopped(home: Path) -> None:
    private_redis.ensure(home)
    service = RedisService(home)
    service.start()
    service.stop()
    assert private_redis.stop(home)


@pytest.mark.parametrize(
    ("code", "described", "final"),
    [(0, "has stopped", True), (3, "ended with exit code 3", False), (-9, "signal 9", False)],
)
def test_how_a_node_ended_is_described(home: Path, code: int, described: str, final: bool) -> None:
    from afx.config import load

    processes = LocalProcesses(load(home=home), "redis://nowhere", log=home / "log")
    processes.start_node("w1", enter=("sh", "-c", "kill -9 $$" if code < 0 else f"exit {code}"))
    processes.children["w1"].process.wait()
    ending = ChildService(processes, "w1").ending()
    assert ending is not None
    assert described in ending.description
    assert ending.is_final == final


def _redis_process(home: Path) -> int:
    from afx.cluster.connection import connect

    client = connect(private_redis.url_for(home))
    found = int(client.info("server")["process_id"])
    client.close()
    return found
