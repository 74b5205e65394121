"""Which names of nodes are in use, and what `afx up` says of one that is."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
import redis as redis_module

from afx.cluster.registry import Registry
from afx.cluster.witness import boot_id, describe, pid_namespace
from afx.cluster.worker_records import Identity, Metrics
from afx.config import load
from afx.errors import UsageError
from afx.local.cluster import run_cluster
from afx.local.node_names import names_in_use

IDLE = Metrics(0, 0, 0, 0.0, 0, 0, 0)


def register(redis: redis_module.Redis, *, boot: str, processes: str) -> Identity:
    identity = Identity("w1", "one", "box", boot, pid_namespace(), processes, 5)
    Registry(redis).register(identity, IDLE)
    return identity


def names(redis: redis_module.Redis, *names: str, seconds: float = 0.0) -> list[str]:
    return [it.name for it in names_in_use(redis, names, seconds=seconds)]


def test_no_name_is_in_use_in_an_empty_cluster(redis: redis_module.Redis) -> None:
    assert names(redis, "w1", "w2", seconds=60) == []


def test_a_node_of_this_machine_whose_processes_exist_has_its_name(
    redis: redis_module.Redis,
) -> None:
    register(redis, boot=boot_id(), processes=describe([os.getpid()]))
    assert names(redis, "w1", "w2") == ["w1"]
    assert names(redis, "w2", seconds=60) == []


def test_a_node_of_this_machine_whose_processes_are_gone_has_not(
    redis: redis_module.Redis,
) -> None:
    register(redis, boot=boot_id(), processes=f"{os.getpid()}:1")
    assert names(redis, "w1", seconds=60) == []


def test_a_node_of_another_machine_has_its_name_while_it_sends_heartbeats(
    redis: redis_module.Redis,
) -> None:
    identity = register(redis, boot="other", processes="1:1")
    assert names(redis, "w1") == []
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(0.01):
            Registry(redis).beat(identity, IDLE, [])

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        assert names(redis, "w1", seconds=0.5) == ["w1"]
    finally:
        ended.set()
        thread.join()


def test_up_names_the_node_that_has_one_of_its_names(
    home: Path, redis_url: str, redis: redis_module.Redis
) -> None:
    register(redis, boot=boot_id(), processes=describe([os.getpid()]))
    with pytest.raises(UsageError, match="A node named w1 runs in this cluster already, on box"):
        run_cluster(load(home=home, redis_url=redis_url), nodes=2, notify=lambda _: None)
