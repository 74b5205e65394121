"""Hosts that use too much RAM: sessions move, then the host is replaced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from support.registries import IDLE
from support.term_harness import TermHarness, add, placed, running

from afx.coordinator.decisions.ram_relief import (
    HostMemory,
    Limits,
    Relief,
    Sample,
    hours_left,
    noted,
    relief,
)
from models.base import utc_now
from models.storage import controls, workers
from models.tables import WorkerControl

MIB = 1 << 20
LIMITS = Limits(factor=1.5, hours=6.0)


def host(**changes: Any) -> HostMemory:
    """Return a host that has what it needs; sizes in MiB."""
    values = {"used": 200, "needed": 200, "free": 500, "moved": 0, "to_move": 0} | changes
    hours = values.pop("hours_left", None)
    return HostMemory(**{name: it * MIB for name, it in values.items()}, hours_left=hours)


@pytest.mark.parametrize(
    ("memory", "due"),
    [
        (host(), Relief.NONE),
        (host(used=290), Relief.NONE),
        (host(used=310), Relief.REPLACE),
        (host(used=60, needed=10), Relief.NONE),  # a few MiB more are nothing
        (host(used=310, free=150), Relief.NONE),  # there is no room for a second host
        (host(hours_left=5.0), Relief.REPLACE),
        (host(hours_left=7.0), Relief.NONE),
        (host(free=-1), Relief.MOVE),
        (host(used=310, free=-1), Relief.MOVE),
        (host(used=310, free=-1, to_move=20, moved=39), Relief.MOVE),
        (host(used=310, free=-1, to_move=20, moved=40), Relief.RECYCLE),
        # It uses what it needs: another process of its machine has the RAM.
        (host(free=-1, to_move=20, moved=40), Relief.MOVE),
    ],
)
def test_moves_come_before_a_new_host_and_that_only_where_it_has_room(
    memory: HostMemory, due: Relief
) -> None:
    assert relief(memory, LIMITS) is due


def test_settings_of_0_replace_no_host() -> None:
    off = Limits(factor=0, hours=0)
    assert relief(host(used=900), off) is Relief.NONE
    assert relief(host(hours_left=0.0), off) is Relief.NONE
    assert relief(host(used=310, free=-1, to_move=20, moved=99), off) is Relief.MOVE


def samples(minutes: int, per_minute: float, sessions: Sequence[int] = (100,)) -> list[Sample]:
    """Return a host's RAM, one sample a minute, with some noise."""
    found: list[Sample] = []
    for it in range(minutes):
        rss = 300 * MIB + int(it * per_minute * MIB) + (it % 3) * MIB // 4
        found = noted(found, Sample(it * 60.0, rss, sessions[it % len(sessions)]))
    return found


def test_growth_says_when_the_host_will_be_full() -> None:
    found = hours_left(samples(120, 1.0), 240 * MIB)
    assert found == pytest.approx(4.0, rel=0.05)


@pytest.mark.parametrize(
    "points", [[], samples(30, 5.0), samples(120, 0.0), samples(120, -1.0)], ids=str
)
def test_without_a_clear_trend_over_an_hour_nothing_is_to_be_seen(points: list[Sample]) -> None:
    assert hours_left(points, 240 * MIB) is None


def test_growth_by_more_sessions_is_no_trend() -> None:
    before = samples(120, 1.0)
    after = noted(before, Sample(7200.0, 500 * MIB, 120))
    assert len(after) == 1
    assert len(noted(before, Sample(7200.0, 500 * MIB, 109))) == 121


def test_a_trend_is_of_the_last_hours() -> None:
    assert len(samples(1000, 1.0)) == 360


def filled(harness: TermHarness, *others: str) -> list[int]:
    """Return the running sessions of w1."""
    harness.add_node("w1", empty_rss=IDLE.rss)
    harness.tick()
    made: list[int] = add("alice", 6)
    harness.until(lambda: running() == set(made))
    for name in others:
        harness.add_node(name, empty_rss=IDLE.rss)
    harness.tick(61.0)  # the leader counts the sessions of the nodes once a minute
    return made


def test_sessions_leave_a_node_that_is_short_of_ram(harness: TermHarness) -> None:
    made = filled(harness, "w2")
    harness.metrics["w1"] = replace(IDLE, ram_free=511 * MIB, sessions=6)
    harness.until(lambda: "w2" in placed().values())
    harness.until(lambda: running() == set(made))
    assert not harness.ran_twice


def test_a_node_alone_keeps_its_sessions_when_ram_is_short(harness: TermHarness) -> None:
    made = filled(harness)
    harness.metrics["w1"] = replace(IDLE, ram_free=511 * MIB, sessions=6)
    for _ in range(5):
        harness.tick(6.0)
    assert not any(harness.sent("stop", it) for it in made)


def test_a_bloated_host_is_replaced_in_place_once_a_day(harness: TermHarness) -> None:
    filled(harness, "w2")
    harness.metrics["w1"] = replace(IDLE, rss=800 * MIB, sessions=6)

    def requested() -> list[str]:
        rows = controls.listing(worker="w1").rows
        return [str(it["kind"]) for it in rows if it["kind"] in ("replace", "recycle")]

    harness.until(lambda: requested() == ["replace"])
    [row] = [it for it in controls.listing(worker="w1").rows if it["kind"] == "replace"]
    controls.cancel(row["id"], "a test")
    # Neither does the next leader request another one before its time.
    harness.change_leader()
    harness.tick(61.0)
    for _ in range(30):
        harness.tick(1.0)
    assert requested() == ["replace"]
    WorkerControl.update(created_at=utc_now() - timedelta(days=1)).execute()
    harness.change_leader()
    harness.tick(61.0)
    harness.until(lambda: requested() == ["replace", "replace"])


def test_a_leader_that_saw_no_node_empty_relieves_one_that_is_short_of_ram(
    harness: TermHarness,
) -> None:
    made = filled(harness, "w2")
    harness.change_leader()
    harness.tick(61.0)
    harness.metrics["w1"] = replace(IDLE, ram_free=511 * MIB, sessions=6)
    harness.until(lambda: "w2" in placed().values())
    harness.until(lambda: running() == set(made))


def replaced(harness: TermHarness) -> list[str]:
    """Return the processes of which the replacement was requested, in their order."""
    rows = controls.listing(worker="w1").rows
    return [str(it["worker"]) for it in reversed(rows) if it["kind"] == "replace"]


def test_a_node_that_is_drained_for_long_keeps_no_other_one_from_relief(
    harness: TermHarness,
) -> None:
    made = filled(harness, "w2", "w3")
    workers.set_desired_state("w2", "draining")
    harness.until(lambda: {it.name: it.state for it in harness.registry.all()}["w2"] == "draining")
    harness.metrics["w1"] = replace(IDLE, ram_free=511 * MIB, sessions=6)
    harness.until(lambda: "w3" in placed().values())
    harness.until(lambda: running() == set(made))
    harness.metrics["w1"] = replace(IDLE, rss=800 * MIB, sessions=6)
    harness.until(lambda: replaced(harness) == ["w1"])


def test_each_process_of_a_node_may_be_replaced_once_a_day(harness: TermHarness) -> None:
    for name in ("w1", "w1.2"):
        harness.add_node(name, shares=2)
    harness.tick()
    made = add("alice", 8)
    harness.until(lambda: running() == set(made))
    harness.tick(61.0)
    for name in ("w1", "w1.2"):
        harness.metrics[name] = replace(IDLE, rss=800 * MIB, sessions=4)
    harness.until(lambda: len(replaced(harness)) == 1)
    harness.kill_node("w1")  # a process under another name has its place now
    harness.add_node("w1.3", shares=2)
    harness.until(lambda: len(replaced(harness)) == 2)
    assert replaced(harness) == ["w1", "w1.2"]
