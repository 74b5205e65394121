"""A node's heartbeats, on networks that are slow, silent and well again."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import redis as redis_module

from afx.cluster import keys
from afx.cluster.registry import Identity, Metrics, Registry
from afx.config import Settings
from afx.errors import FencedError
from afx.lab.links import BadLink
from afx.node.heartbeat import Answer, Heartbeater

IDLE = Metrics(1, 1000, 2000, 0.1, 0, 0, 0)


def identity(incarnation: str = "one") -> Identity:
    return Identity("w1", incarnation, "host", "boot", "", "1:1", 10)


@pytest.fixture
def link(redis: redis_module.Redis) -> Iterator[BadLink]:
    Registry(redis).register(identity(), IDLE)
    held = BadLink(redis.connection_pool.connection_kwargs["path"])
    yield held
    held.close()


@pytest.fixture
def heart(link: BadLink) -> Iterator[Heartbeater]:
    host, port = link.address
    held = Heartbeater(f"redis://{host}:{port}", Settings())
    yield held
    link.mend()
    held.close()


def answers(heart: Heartbeater, count: int) -> list[Answer]:
    until = time.monotonic() + 15
    found: list[Answer] = []
    while len(found) < count:
        assert time.monotonic() < until
        if it := heart.answer(1.0):
            found.append(it)
    return found


def test_a_heartbeat_that_is_held_up_does_not_hold_up_the_next(
    heart: Heartbeater, link: BadLink, redis: redis_module.Redis
) -> None:
    heart.beat(identity(), IDLE, [], "ready")
    answers(heart, 1)
    link.stall()
    heart.beat(identity(), IDLE, [], "ready")
    heart.beat(identity(), IDLE, [], "ready")
    [third] = answers(heart, 1)
    assert third.error is None
    assert redis.hget(keys.worker("w1"), "seq") == "2"  # the first's and the third's


def test_no_more_heartbeats_are_out_than_a_lease_lasts(heart: Heartbeater, link: BadLink) -> None:
    link.cut()
    for _ in range(20):
        heart.beat(identity(), IDLE, [], "ready")
    link.mend()
    assert len(answers(heart, 6)) == 6
    assert heart.answer(0.1) is None


def test_what_a_lost_heartbeat_was_to_tell_is_told_with_the_next(
    heart: Heartbeater, link: BadLink, redis: redis_module.Redis
) -> None:
    redis.hset(keys.reservations("w1"), mapping={"1": 100, "2": 100, "3": 100})
    redis.hset(keys.worker("w1"), "reserved", 300)
    link.cut()
    heart.beat(identity(), IDLE, [1], "ready")
    link.drop()
    [lost] = answers(heart, 1)
    assert lost.error is not None
    link.mend()
    heart.beat(identity(), IDLE, [2], "ready")
    answers(heart, 1)
    assert redis.hgetall(keys.reservations("w1")) == {"3": "100"}
    assert redis.hget(keys.worker("w1"), "reserved") == "100"


def test_a_fenced_node_hears_of_it(heart: Heartbeater, redis: redis_module.Redis) -> None:
    redis.set(keys.TERM, 1)
    Registry(redis).fence("w1", "one", 1)
    heart.beat(identity(), IDLE, [], "ready")
    [said] = answers(heart, 1)
    assert isinstance(said.error, FencedError)


def test_whoever_waits_for_an_answer_can_be_woken(heart: Heartbeater) -> None:
    heart.wake()
    assert heart.answer(60.0) is None
