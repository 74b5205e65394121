"""The coordinator's loop in this process: real Redis, real SQL, nodes that only beat."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis as redis_module
from rq import Queue
from rq.serializers import JSONSerializer

from afx.cluster import keys
from afx.cluster.connection import connect
from afx.cluster.registry import Identity, Metrics, Registry
from afx.config import load
from afx.coordinator import loop
from afx.coordinator.loop import Coordinator
from afx.security.vault import load_vault
from models import base, schema
from models.storage import assignments, queue, rules, sessions, users
from models.storage.rules import NewRule
from models.storage.sessions import NewSession

MIB = 1 << 20
IDLE = Metrics(100 * MIB, 2000 * MIB, 4000 * MIB, 0.1, 0, 0, 0)


class Play:
    """One coordinator that leads, ticked by hand."""

    def __init__(self, home: Path, redis_url: str) -> None:
        self.url = redis_url
        settings = load(home=home, redis_url=redis_url, cool_down_seconds=0)
        self.coordinator = Coordinator(settings, redis_url, load_vault(home, ""))
        assert self.coordinator._leader.acquire()
        self.coordinator._begin(loop.EpochCounter(1))
        self._redis = connect(redis_url)
        self._registry = Registry(self._redis)
        self.nodes: list[Identity] = []

    def node(self, name: str, most: int, **labels: str) -> None:
        who = Identity(name, f"{name}-1", "far", "another boot", "", "1:1", most, labels)
        assert self._registry.register(who, IDLE)
        self.nodes.append(who)

    def until(self, done: Callable[[], bool]) -> None:
        until = time.monotonic() + 20
        while not done():
            assert time.monotonic() < until
            for who in self.nodes:
                self._registry.beat(who, IDLE, [])
            self.coordinator.tick()

    def overflow(self) -> set[str]:
        client = connect(self.url, decode=False)
        held = set(Queue("overflow", connection=client, serializer=JSONSerializer).job_ids)
        client.close()
        return held

    def close(self) -> None:
        self.coordinator.request_stop()
        self.coordinator.run()  # it only lets go of all
        self._redis.close()


@pytest.fixture
def play(home: Path, redis_url: str, redis: redis_module.Redis) -> Iterator[Play]:
    base.open_database(f"sqlite:///{home}/afx.db")
    schema.upgrade()
    held = Play(home, redis_url)
    yield held
    held.close()
    base.close_database()


def add(owner: str, count: int, **requires: str) -> list[int]:
    made = sessions.create_many(
        users.create(owner), [NewSession(f"{owner}{number}", "sealed") for number in range(count)]
    )
    rules.create_many([NewRule(it, "r", ["-1"], ["-2"]) for it in made])
    for it in made:
        if requires:
            sessions.set_requires(sessions.find(str(it)), requires)
    return made


def placed() -> set[int]:
    return {it.session for it in assignments.active()}


def test_many_that_fit_nowhere_hold_up_nobody_behind_them(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More of them than one look takes, and all have waited longer."""
    monkeypatch.setattr(loop, "_PLACE_MOST", 4)
    stuck = add("mars", 14, region="mars")
    play.node("w1", 10, region="eu")
    play.until(lambda: queue.count() == 14)
    late = add("earth", 6)
    play.until(lambda: placed() == set(late))
    assert queue.ids() == set(stuck)
    assert {it["reason"] for it in queue.listing().rows} == {"no ready node has region=mars"}


def test_whoever_is_paused_or_removed_waits_no_longer(play: Play) -> None:
    one, two, three = add("alice", 3, region="mars")
    play.until(lambda: queue.count() == 3 and len(play.overflow()) == 3)
    sessions.set_desired_state(sessions.find(str(one)), "paused")
    sessions.remove_unused(sessions.find(str(two)))
    play.until(lambda: queue.ids() == {three} and play.overflow() == {f"overflow-{three}"})


def test_a_node_that_redis_has_lost_gets_no_more_than_it_may_have(
    play: Play, redis: redis_module.Redis
) -> None:
    """It registers again while the same leader leads, and seems to be empty."""
    play.node("w1", 3)
    held = add("alice", 2)
    play.until(lambda: placed() == set(held))
    redis.delete(keys.worker("w1"))
    play._registry.register(play.nodes[0], IDLE)
    add("bob", 4)
    play.until(lambda: queue.count() == 3)
    assert len(placed()) == 3
    [view] = play._registry.all()
    assert view.assigned == 3
