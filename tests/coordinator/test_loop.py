"""Two coordinators in one process: real Redis, real SQL, real threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import peewee
import pytest
from support.term_harness import add

from afx.cluster import keys, standbys
from afx.cluster.connection import connect
from afx.cluster.leadership import read_leader
from afx.config import load
from afx.coordinator.coordinator_restart import CoordinatorRestart
from afx.coordinator.loop import Coordinator
from afx.coordinator.term import Term
from afx.errors import StorageError, UnreachableError
from afx.security.vault import load_vault
from models import base
from models.storage import assignments, cluster, controls
from models.tables import ClusterState


class RunningCoordinator:
    """A coordinator on a thread of its own."""

    def __init__(self, home: Path, redis_url: str, name: str) -> None:
        settings = load(
            home=home,
            redis_url=redis_url,
            tick_limit_seconds=4.0,
            leader_ttl_seconds=1.5,
            leader_stop_seconds=1.0,
        )
        self._coordinator = Coordinator(settings, redis_url, load_vault(home, ""))
        self._thread = threading.Thread(target=self._run, name=name)
        self._thread.start()

    def stop(self) -> None:
        self._coordinator.request_stop()
        self._thread.join()

    def _run(self) -> None:
        self._coordinator.run()
        base.proxy.close()


@pytest.fixture
def start(home: Path, redis_url: str, sql: None) -> Iterator[Callable[[str], RunningCoordinator]]:
    del sql
    started: list[RunningCoordinator] = []

    def make(name: str) -> RunningCoordinator:
        started.append(RunningCoordinator(home, redis_url, name))
        return started[-1]

    yield make
    for it in started:
        it.stop()


class Hang:
    """Lets the ticks of one thread hang."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self._name = name
        self._tick = Term.tick
        self.hangs = threading.Event()
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        monkeypatch.setattr(Term, "tick", lambda term: self._hang(term))

    def _hang(self, term: Any) -> bool:
        if threading.current_thread().name == self._name and not self.may_go_on.is_set():
            self.hangs.set()
            self.may_go_on.wait()
        return self._tick(term)


def wait(done: Callable[[], bool], seconds: float = 30.0) -> None:
    until = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_standby_takes_over_from_a_leader_whose_tick_hangs(
    start: Callable[[str], RunningCoordinator],
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hang = Hang(monkeypatch, "one")
    client = connect(redis_url)
    start("one")
    wait(lambda: read_leader(client) is not None)
    first_term = cluster.term()
    start("two")
    hang.may_go_on.clear()
    wait(hang.hangs.is_set)
    wait(lambda: cluster.term() > first_term)
    hang.may_go_on.set()
    # The first one wakes up: it stands by, and the second one goes on.
    wait(lambda: not hang.hangs.is_set() or read_leader(client) is not None)
    add("alice", 1)
    leader = read_leader(client)
    assert leader is not None and leader.term == cluster.term() == first_term + 1
    assert not assignments.active()
    client.close()


def test_one_that_stands_by_says_so_whatever_others_have_written(
    start: Callable[[str], RunningCoordinator], redis_url: str
) -> None:
    client = connect(redis_url)
    first = start("one")
    wait(lambda: read_leader(client) is not None)
    assert standbys.read(client) == ()
    second = start("two")
    wait(lambda: len(standbys.read(client)) == 1)
    client.set(keys.STANDBYS, "not ours")
    assert standbys.read(client) == ()
    wait(lambda: len(standbys.read(client)) == 1)
    leader = read_leader(client)
    assert leader is not None and standbys.read(client) == (leader.name,)  # of one process here
    second.stop()
    wait(lambda: standbys.read(client) == ())
    first.stop()
    client.close()


def test_no_term_begins_while_sql_takes_no_writes(
    start: Callable[[str], RunningCoordinator],
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A coordinator that started then would use up a term each second."""
    asked = threading.Semaphore(0)

    def refuse() -> None:
        asked.release()
        raise StorageError("The Postgres server takes no writes.")

    client = connect(redis_url)
    with monkeypatch.context() as patched:
        patched.setattr(cluster, "check_writable", refuse)
        start("one")
        for _ in range(3):
            assert asked.acquire(timeout=10)
        assert read_leader(client) is None
        assert ClusterState.get_by_id(1).generation == 0
    wait(lambda: ClusterState.get_by_id(1).generation == 1)
    client.close()


def test_a_coordinator_that_starts_while_sql_is_away_ends_with_an_error_for_people(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail() -> int:
        raise peewee.OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(controls, "newest", fail)
    with pytest.raises(UnreachableError):
        CoordinatorRestart()


def test_an_error_that_nobody_foresaw_ends_a_term_and_not_the_coordinator(
    start: Callable[[str], RunningCoordinator], redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tick, failed = Term.tick, threading.Event()

    def failing(term: Term) -> bool:
        if not failed.is_set():
            failed.set()
            raise KeyError("nobody foresaw it")
        return tick(term)

    monkeypatch.setattr(Term, "tick", failing)
    start("alone")
    wait(failed.is_set)
    wait(lambda: cluster.term() >= 2)
