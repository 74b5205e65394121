"""`afx up` with real processes: what dies is restarted, and a second one is refused."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import redis as redis_module
from support.cli_runs import complains, runner

from afx.cluster import keys
from afx.cluster.connection import connect
from afx.cluster.registry import Registry
from afx.errors import UsageError
from afx.lab.waiting import wait_until
from afx.local import private_redis
from afx.local.home_lock import home_lock
from afx.sandbox import process


class Up:
    """A running `afx up` in a home."""

    def __init__(self, home: Path, *flags: str) -> None:
        self.home = home
        self._log = home / "up.log"
        environment = {k: v for k, v in os.environ.items() if not k.startswith("AFX_")}
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "cli.main", "up", *flags],
                env=environment | {"AFX_HOME": str(home)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def messages(self) -> str:
        return self._log.read_text(errors="replace")

    def wait(self, what: str, done: Callable[[], bool], seconds: float = 90.0) -> None:
        wait_until(done, what=what, seconds=seconds, hint=self.messages()[-2000:])

    def child(self, command: str) -> psutil.Process | None:
        """Return the coordinator's, or the node's, first process."""
        with contextlib.suppress(psutil.Error):  # up, or a child of it, has ended meanwhile
            for it in psutil.Process(self.process.pid).children():
                if command in it.cmdline():
                    return it
        return None

    def pid(self, command: str) -> int:
        child = self.child(command)
        return child.pid if child else 0

    def redis_pid(self) -> int:
        try:
            client = connect(private_redis.url_for(self.home), timeout_seconds=1.0)
            try:
                return int(client.info("server")["process_id"])
            finally:
                client.close()
        except redis_module.RedisError:
            return 0

    def is_complete(self) -> bool:
        """Return whether a coordinator leads and the node is ready."""
        try:
            client = connect(private_redis.url_for(self.home), timeout_seconds=1.0)
            try:
                states = [it.state for it in Registry(client).all()]
                return bool(client.exists(keys.LEADER)) and states == ["ready"]
            finally:
                client.close()
        except redis_module.RedisError:
            return False

    def end(self) -> int:
        self.process.terminate()
        return self.process.wait(60)


@pytest.fixture
def up(home: Path) -> Iterator[Up]:
    running = Up(home, "--workers", "1")
    yield running
    if running.process.poll() is None:
        running.end()


def test_the_coordinator_the_node_and_redis_are_restarted_when_they_are_killed(up: Up) -> None:
    up.wait("the cluster is complete", up.is_complete)
    pids: dict[str, Callable[[], int]] = {
        "coordinator was killed": lambda: up.pid("coordinator"),
        "w1 was killed": lambda: up.pid("worker"),
        "the private Redis has ended": up.redis_pid,
    }
    for message, pid in pids.items():
        killed = pid()
        assert killed  # 0 would be the tests themselves
        os.kill(killed, signal.SIGKILL)
        up.wait(f"up says '{message}'", lambda message=message: message in up.messages())
        up.wait("it is restarted", lambda pid=pid, killed=killed: pid() not in (0, killed))
    up.wait("the cluster is complete again", up.is_complete)
    assert up.end() == 0
    assert not private_redis.is_listening(up.home)
    # Once for each at least: a node that joins while Redis is away may end once more.
    assert up.messages().count("it is restarted in") >= 3
    assert "Traceback" not in up.messages()


def test_a_second_up_in_one_home_is_refused(home: Path) -> None:
    with home_lock(home, "up", "afx up"):
        complains(runner(home)("up"), 2, "'afx up' is already running", str(os.getpid()))


def test_a_second_sandbox_in_one_home_is_refused(home: Path) -> None:
    with home_lock(home, "sandbox", "afx sandbox start"):
        with pytest.raises(UsageError, match="'afx sandbox start' is already running"):
            process.run(home)


@pytest.mark.faults
def test_afx_up_ends_with_one_sentence_when_a_node_keeps_failing(up: Up) -> None:
    up.wait("the cluster is complete", up.is_complete)
    until = time.monotonic() + 60
    while up.process.poll() is None and time.monotonic() < until:
        if pid := up.pid("worker"):
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    assert up.process.wait(30) == 1
    assert up.messages().count("afx: w1 was killed by signal 9") == 1
    assert "it ended 5 times in a row" in up.messages()
    assert not private_redis.is_listening(up.home)
