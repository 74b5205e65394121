"""A node's heartbeats, on networks that are slow, silent and healthy again."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import redis as redis_module

from afx.cluster import keys
from afx.cluster.connection import connect
from afx.cluster.redis_faults import RedisFault
from afx.cluster.registry import Registry
from afx.cluster.worker_records import Identity, Metrics
from afx.config import Settings
from afx.errors import FencedError
from afx.lab.links import BadLink
from afx.lab.waiting import wait_until
from afx.node.heartbeat import Answer, Heartbeater

IDLE = Metrics(1, 1000, 2000, 0.1, 0, 0, 0)


def identity(incarnation: str = "one") -> Identity:
    return Identity("w1", incarnation, "host", "boot", "", "1:1", 10)


@pytest.fixture
def link(redis: redis_module.Redis) -> Iterator[BadLink]:
    Registry(redis).register(identity(), IDLE)
    bad_link = BadLink(redis.connection_pool.connection_kwargs["path"])
    yield bad_link
    bad_link.close()


@pytest.fixture
def heartbeater(link: BadLink) -> Iterator[Heartbeater]:
    host, port = link.address
    settings = Settings().for_node()
    client = connect(f"redis://{host}:{port}", timeout_seconds=settings.lease.node)
    beating = Heartbeater(client, settings)
    yield beating
    link.mend()
    beating.close()


def answers(heartbeater: Heartbeater, count: int) -> list[Answer]:
    until = time.monotonic() + 15
    found: list[Answer] = []
    while len(found) < count:
        assert time.monotonic() < until
        if it := heartbeater.answer(1.0):
            found.append(it)
    return found


def test_a_delayed_heartbeat_does_not_delay_the_next_one(
    heartbeater: Heartbeater, link: BadLink, redis: redis_module.Redis
) -> None:
    heartbeater.beat(identity(), IDLE, [], "ready")
    answers(heartbeater, 1)
    link.stall()
    heartbeater.beat(identity(), IDLE, [], "ready")
    heartbeater.beat(identity(), IDLE, [], "ready")
    [third] = answers(heartbeater, 1)
    assert third.error is None
    assert redis.hget(keys.worker("w1"), "seq") == "2"  # the first's and the third's


def test_the_connection_of_a_second_heartbeat_in_flight_is_closed_again(
    heartbeater: Heartbeater, link: BadLink
) -> None:
    link.slow(0.2)
    heartbeater.beat(identity(), IDLE, [], "ready")
    heartbeater.beat(identity(), IDLE, [], "ready")
    answers(heartbeater, 2)
    link.mend()
    wait_until(lambda: link.connections == 0, what="both are closed", seconds=10)


def test_at_most_one_leases_worth_of_heartbeats_is_in_flight(
    heartbeater: Heartbeater, link: BadLink
) -> None:
    link.cut()
    for _ in range(20):
        heartbeater.beat(identity(), IDLE, [], "ready")
    link.mend()
    assert len(answers(heartbeater, 6)) == 6
    assert heartbeater.answer(0.1) is None


def test_the_next_heartbeat_reports_what_a_lost_one_was_to_report(
    heartbeater: Heartbeater, link: BadLink, redis: redis_module.Redis
) -> None:
    redis.hset(keys.reservations("w1"), mapping={"1": 100, "2": 100, "3": 100})
    redis.hset(keys.worker("w1"), "reserved", 300)
    link.cut()
    heartbeater.beat(identity(), IDLE, [1], "ready")
    link.drop()
    [lost] = answers(heartbeater, 1)
    assert lost.error is not None
    link.mend()
    heartbeater.beat(identity(), IDLE, [2], "ready")
    answers(heartbeater, 1)
    assert redis.hgetall(keys.reservations("w1")) == {"3": "100"}
    assert redis.hget(keys.worker("w1"), "reserved") == "100"


def test_a_fenced_node_learns_it_from_its_heartbeat(
    heartbeater: Heartbeater, redis: redis_module.Redis
) -> None:
    redis.set(keys.TERM, 1)
    run_id = str(redis.info("server")["run_id"])
    Registry(redis).fence("w1", "one", term=1, run_id=run_id)
    heartbeater.beat(identity(), IDLE, [], "ready")
    [answer] = answers(heartbeater, 1)
    assert isinstance(answer.error, FencedError)


def test_waiting_for_an_answer_can_be_interrupted(heartbeater: Heartbeater) -> None:
    heartbeater.wake()
    assert heartbeater.answer(60.0) is None


def test_a_malformed_heartbeat_counter_costs_no_node_its_lease(
    heartbeater: Heartbeater, redis: redis_module.Redis
) -> None:
    redis.hset(keys.worker("w1"), "seq", "not a number")
    for _ in range(50):
        heartbeater.beat(identity(), IDLE, [], "ready")
        [answer] = answers(heartbeater, 1)
        assert answer.error is None


@pytest.mark.parametrize("term", ["", "not a number", b"\xff", "9" * 40])
def test_a_malformed_term_does_not_cost_a_node_its_lease(
    heartbeater: Heartbeater, redis: redis_module.Redis, term: str | bytes
) -> None:
    redis.set(keys.TERM, term)
    heartbeater.beat(identity(), IDLE, [], "ready")
    [answer] = answers(heartbeater, 1)
    assert answer.error is None


@pytest.mark.parametrize("state", ["", "of a newer version", b"\xff"])
def test_a_desired_state_that_is_unknown_leaves_the_last_one(
    heartbeater: Heartbeater, redis: redis_module.Redis, state: str | bytes
) -> None:
    redis.hset(keys.worker("w1"), "state", state)
    heartbeater.beat(identity(), IDLE, [], "draining")
    [answer] = answers(heartbeater, 1)
    assert answer.error is None
    assert answer.desired_state == "draining"


def test_heartbeats_renew_the_lease_while_redis_is_out_of_memory(
    heartbeater: Heartbeater, redis: redis_module.Redis
) -> None:
    before = int(redis.hget(keys.worker("w1"), "seq") or 0)
    redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(redis_module.exceptions.OutOfMemoryError):
            redis.set("any", "value")
        heartbeater.beat(identity(), IDLE, [], "ready", redis_fault=RedisFault.OUT_OF_MEMORY)
        [answer] = answers(heartbeater, 1)
    finally:
        redis.config_set("maxmemory", 0)
    assert answer.error is None
    record = redis.hgetall(keys.worker("w1"))
    assert int(record["seq"]) == before + 1
    assert record["redis_fault"] == "out_of_memory"
