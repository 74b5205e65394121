"""The leader recommends how many nodes there should be: in Redis at once, in SQL on change."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import peewee
import pytest
from support.term_harness import TermHarness, add

from afx.cluster import keys, scaling_record
from afx.cluster.scaling_record import ScalingRecord
from afx.coordinator import scaler
from models.base import utc_now
from models.storage import scaling

Begin = Callable[..., TermHarness]


@pytest.fixture
def begin(home: Path, redis_url: str, sql: None) -> Iterator[Begin]:
    del sql
    begun: list[TermHarness] = []

    def begin(**settings: object) -> TermHarness:
        begun.append(TermHarness(home, redis_url, **settings))
        return begun[-1]

    yield begin
    for it in begun:
        it.close()


def read(harness: TermHarness) -> ScalingRecord:
    found = scaling_record.read(harness.redis)
    assert found is not None
    return found


def ticks(harness: TermHarness, seconds: float) -> None:
    for _ in range(round(seconds / 2)):
        harness.tick(2.0)


def test_the_recommendation_is_published_and_expires(begin: Begin) -> None:
    harness = begin()
    harness.add_node("w1")
    harness.until(lambda: scaling_record.read(harness.redis) is not None)
    assert 0 < harness.redis.pttl(keys.SCALING) <= 30_000  # type: ignore[operator]
    assert read(harness).desired == 1


def test_sessions_without_room_ask_for_nodes_and_the_change_is_stored_once(begin: Begin) -> None:
    harness = begin()
    harness.add_node("w1", most=10)
    add("alice", 25)
    harness.until(lambda: len(harness.overflow()) == 15)
    ticks(harness, 40)
    found = read(harness)
    assert (found.decision, found.current, found.overflow) == ("out", 1, 15)
    assert found.desired == 3  # 25 / 7.5 = 3.4, so 5; two in five minutes
    events = [it for it in scaling.listing().rows if it["decision"] == "out"]
    assert events[0]["desired"] == 3
    assert len({it["desired"] for it in events}) == len(events)
    assert found.demands["sessions"].demand == 25


def test_sessions_that_wait_for_labels_ask_for_no_node(begin: Begin) -> None:
    harness = begin()
    harness.add_node("w1")
    add("alice", 5, region="mars")
    harness.until(lambda: len(harness.overflow()) == 5)
    ticks(harness, 60)
    assert read(harness).decision == "hold"


def test_a_new_leader_keeps_what_was_recommended(begin: Begin) -> None:
    harness = begin()
    harness.add_node("w1", most=10)
    add("alice", 25)
    harness.until(lambda: len(harness.overflow()) == 15)
    ticks(harness, 40)
    desired = read(harness).desired
    harness.change_leader()
    harness.redis.delete(keys.SCALING)
    harness.until(lambda: scaling_record.read(harness.redis) is not None)
    assert read(harness).desired == desired


def test_nodes_that_are_silent_recommend_nothing_new(begin: Begin) -> None:
    harness = begin(lease_profile="safe")
    for name in ("w1", "w2"):
        harness.add_node(name)
    harness.until(lambda: scaling_record.read(harness.redis) is not None)
    ticks(harness, 10)
    for name in ("w1", "w2"):
        harness.kill_node(name)
    ticks(harness, 8)
    assert (read(harness).decision, read(harness).reason) == ("hold", "stale")
    assert [it["decision"] for it in scaling.listing().rows] == ["hold"]


def test_the_limits_of_the_settings_hold(begin: Begin) -> None:
    harness = begin(scale_min_nodes=2, scale_max_nodes=3, scale_overflow_seconds=1.0)
    harness.add_node("w1", most=5)
    harness.until(lambda: scaling_record.read(harness.redis) is not None)
    assert read(harness).desired == 2
    add("alice", 40)
    harness.until(lambda: len(harness.overflow()) == 35)
    ticks(harness, 20)
    assert (read(harness).desired, read(harness).max_nodes) == (3, 3)


GOOD = {
    "decision": "out",
    "reason": "ram",
    "text": "RAM fills 2.1 nodes",
    "current": 2,
    "desired": 4,
    "needed": 4,
    "min_nodes": 1,
    "max_nodes": 0,
    "overflow": 0,
    "oldest_task_seconds": 0.0,
    "standing_seconds": 1.5,
    "removable": [],
    "demands": {"ram": {"demand": 1.0, "node_capacity": 2.0, "nodes": 0.5}},
}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "[]",
        "null",
        "[" * 100_000,
        json.dumps({**GOOD, "decision": "rm -rf /"}),
        json.dumps({**GOOD, "desired": -1}),
        json.dumps({**GOOD, "desired": 2**40}),
        json.dumps({**GOOD, "desired": True}),
        json.dumps({**GOOD, "standing_seconds": float("nan")}),
        json.dumps({**GOOD, "text": "a\nb"}),
        json.dumps({**GOOD, "removable": ["w1\n"]}),
        json.dumps({**GOOD, "demands": [1]}),
        json.dumps({it: GOOD[it] for it in GOOD if it != "current"}),
    ],
)
def test_a_record_that_is_not_credible_is_none(redis: object, text: str) -> None:
    redis.set(keys.SCALING, text)  # type: ignore[attr-defined]
    assert scaling_record.read(redis) is None  # type: ignore[arg-type]


def test_a_key_of_another_type_is_no_record(redis: object) -> None:
    redis.rpush(keys.SCALING, "x")  # type: ignore[attr-defined]
    assert scaling_record.read(redis) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(("jump", "most"), [(86_400, 2), (-86_400, 1)])
def test_a_clock_that_jumps_costs_one_node_at_most(
    begin: Begin, monkeypatch: pytest.MonkeyPatch, jump: int, most: int
) -> None:
    harness = begin(scale_spare_nodes=0)
    harness.add_node("w1")
    monkeypatch.setattr(scaler.tasks, "oldest_by_priority", lambda: {2: utc_now()})
    monkeypatch.setattr(scaler, "utc_now", lambda: utc_now() + timedelta(seconds=jump))
    harness.until(lambda: scaling_record.read(harness.redis) is not None)
    ticks(harness, 120)
    assert read(harness).desired <= most


def test_what_sql_refuses_ends_no_term(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    """The figures are stale until SQL is back; then the recommendation goes on."""
    harness = begin()
    harness.add_node("w1")
    harness.until(lambda: scaling_record.read(harness.redis) is not None)

    def fails() -> int:
        raise peewee.OperationalError("disk I/O error")

    with monkeypatch.context() as patched:
        patched.setattr(scaler.queue, "count_without_room", fails)
        ticks(harness, 10)
        harness.redis.delete(keys.SCALING)
        ticks(harness, 10)
        assert scaling_record.read(harness.redis) is None
    harness.until(lambda: scaling_record.read(harness.redis) is not None)
