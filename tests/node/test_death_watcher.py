"""The death watcher of a node, beside records that are malformed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
import redis as redis_module

from afx.cluster import keys, report_stream, witness
from afx.cluster.registry import Registry
from afx.cluster.worker_records import Identity, Metrics
from afx.node.death_watcher import DeathWatcher, SeenDeaths

IDLE = Metrics(1, 1000, 2000, 0.1, 0, 0, 0)


def register(redis: redis_module.Redis, name: str, pid: int) -> None:
    identity = Identity(
        name=name,
        incarnation=f"of {name}",
        hostname="host",
        boot_id=witness.boot_id(),
        pid_namespace=witness.pid_namespace(),
        processes=witness.describe([pid]),
        max_sessions=10,
    )
    assert Registry(redis).register(identity, IDLE)


@pytest.fixture
def watcher(redis: redis_module.Redis) -> Iterator[DeathWatcher]:
    register(redis, "w1", os.getpid())
    watching = DeathWatcher(redis, "w1")
    yield watching
    watching.close()


@pytest.mark.parametrize("kind", ["a string", "bytes", "a bad field"])
def test_a_malformed_record_hides_no_death_of_another_node(
    watcher: DeathWatcher, redis: redis_module.Redis, kind: str
) -> None:
    register(redis, "bad", os.getpid())
    if kind == "a string":
        redis.delete(keys.worker("bad"))
        redis.set(keys.worker("bad"), "not a hash")
    elif kind == "bytes":
        redis.hset(keys.worker("bad"), mapping={b"\xff": b"\xfe", "hostname": b"\xff"})
    else:
        redis.hset(keys.worker("bad"), mapping={"processes": "x:y,", "seq": "?"})
    victim = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    register(redis, "w2", victim.pid)
    watcher.watch()
    victim.communicate(b"\n", timeout=20)
    until = time.monotonic() + 20
    while not redis.xlen(keys.REPORTS):
        watcher.watch()
        assert time.monotonic() < until
        time.sleep(0.02)
    [report] = report_stream.read(redis, "0", block_seconds=1).reports
    assert (report.kind, report.node) == ("died", "w2")


def test_the_processes_of_a_node_share_one_witness_and_do_not_watch_each_other(
    redis: redis_module.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[int] = []
    real = os.pidfd_open

    def counted(pid: int, flags: int = 0) -> int:
        opened.append(pid)
        return real(pid, flags)

    monkeypatch.setattr(os, "pidfd_open", counted)
    names = ["w1", "w1.2", "w1.3"]
    for name in (*names, "w2"):
        register(redis, name, os.getpid())
    seen = SeenDeaths()
    watchers = [DeathWatcher(redis, name, seen) for name in names]
    for _ in range(2):
        for it in watchers:
            it.watch()
    watchers[0].close()
    assert seen.witness.can_judge("of w2") and not seen.witness.can_judge("of w1.2")
    assert opened == [os.getpid()]
    seen.close()
