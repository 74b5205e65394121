"""What RQ keeps of incarnations that have ended, and of workers that were killed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis as redis_module
from support.registries import IDLE

from afx.cluster.connection import connect
from afx.cluster.registry import Registry
from afx.cluster.worker_records import Identity
from afx.coordinator.orders import Orders
from afx.coordinator.rq_cleanup import RqCleanup
from afx.security.signing import SigningKeys

TTL_SECONDS = 60.0


@pytest.fixture
def raw(redis_url: str) -> Iterator[redis_module.Redis]:
    client = connect(redis_url, decode=False)
    yield client
    client.close()


def register(redis: redis_module.Redis, raw: redis_module.Redis, incarnation: str) -> None:
    """Register an incarnation of node w1, order something of it, and let a worker take it."""
    registry = Registry(redis)
    identity = Identity("w1", incarnation, "host", "boot", "pids", "1:1", 10)
    assert registry.register(identity, IDLE)
    orders = Orders(raw, SigningKeys([b"k" * 32]), TTL_SECONDS)
    orders.send("start", 1, "w1", incarnation, [(1, 5)])
    queue = f"node-w1-{incarnation}"
    worker = f"rq:worker:{incarnation}"
    redis.hset(worker, "birth", "today")
    redis.sadd("rq:workers", worker)
    redis.sadd(f"rq:workers:{queue}", worker)
    redis.zadd(f"rq:finished:{queue}", {"a job": 1.0})
    redis.rpush(f"rq:queue:{queue}:intermediate", "a job")


def check(redis: redis_module.Redis, cleanup: RqCleanup, now: float) -> None:
    cleanup.step(Registry(redis).all(), now)


def keys_of(redis: redis_module.Redis, incarnation: str) -> set[str]:
    return set(redis.keys(f"*{incarnation}*"))


def test_a_name_that_registers_again_leaves_no_key_of_its_last_incarnation(
    redis: redis_module.Redis, raw: redis_module.Redis
) -> None:
    register(redis, raw, "earlier")
    Registry(redis).leave("w1", "earlier")
    register(redis, raw, "later")
    redis.delete("rq:worker:earlier")  # it expires by itself
    before = keys_of(redis, "later")
    cleanup = RqCleanup(raw, seconds=30.0)
    check(redis, cleanup, 0.0)
    assert keys_of(redis, "earlier"), "one check alone removes nothing"
    check(redis, cleanup, 31.0)
    assert not keys_of(redis, "earlier")
    assert redis.smembers("rq:workers") == {"rq:worker:later"}
    assert redis.smembers("rq:queues") == {"rq:queue:node-w1-later"}
    assert keys_of(redis, "later") == before
    assert all(redis.ttl(it) > 0 for it in redis.keys("rq:job:*")), "jobs expire"


def test_a_killed_worker_of_a_live_node_is_forgotten(
    redis: redis_module.Redis, raw: redis_module.Redis
) -> None:
    register(redis, raw, "one")
    redis.sadd("rq:workers", "rq:worker:killed")
    redis.sadd("rq:workers:node-w1-one", "rq:worker:killed")
    check(redis, RqCleanup(raw), 0.0)
    assert redis.smembers("rq:workers") == {"rq:worker:one"}
    assert redis.smembers("rq:workers:node-w1-one") == {"rq:worker:one"}


def test_a_queue_of_another_program_stays(
    redis: redis_module.Redis, raw: redis_module.Redis
) -> None:
    redis.sadd("rq:queues", "rq:queue:other", "rq:queue:overflow")
    cleanup = RqCleanup(raw, seconds=30.0)
    check(redis, cleanup, 0.0)
    check(redis, cleanup, 31.0)
    assert redis.smembers("rq:queues") == {"rq:queue:other", "rq:queue:overflow"}
