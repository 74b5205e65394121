"""The status of the cluster, as Redis and SQL have it."""

from __future__ import annotations

from pathlib import Path

import redis as redis_module

from afx.app import ProcessServers
from afx.cluster.redis_faults import RedisFault
from afx.cluster.registry import Registry
from afx.cluster.worker_records import Identity, Metrics
from afx.config import load
from afx.operations import cluster
from afx.operations.context import Actor

IDLE = Metrics(rss=1, ram_free=1, ram_limit=2, cpu=0.0, sessions=0, starting=0, forwarded=0)


def test_what_hinders_a_nodes_use_of_redis_is_in_the_status(
    home: Path, redis_url: str, redis: redis_module.Redis
) -> None:
    registry = Registry(redis)
    for name, fault in (("w1", RedisFault.OUT_OF_MEMORY), ("w2", "")):
        node = Identity(name, f"{name}-1", "host", "boot", "pids", "1:1", 10)
        assert registry.register(node, IDLE)
        registry.beat(node, IDLE, [], redis_fault=fault)
    with ProcessServers(load(home=home, redis_url=redis_url)) as servers:
        found = cluster.status(servers.context(Actor("me")))
    assert dict(found.redis_faults) == {"w1": "Redis is out of memory; raise its maxmemory"}
