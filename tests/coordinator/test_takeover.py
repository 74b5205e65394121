"""A leader change at scale: in slices, beside failure detection."""

from __future__ import annotations

import pytest
from support.term_harness import TermHarness, add, placed, running

from afx.coordinator import session_scan, takeover
from afx.coordinator.takeover import Takeover
from afx.coordinator.time_slice import TimeSlice
from models.base import transaction
from models.storage import sessions


def test_a_slice_of_time_ends_before_the_work_when_the_work_is_long() -> None:
    now = 0.0
    steps = 0

    def step() -> bool:
        nonlocal now, steps
        now, steps = now + 0.04, steps + 1
        return steps < 7

    part = TimeSlice(0.1, lambda: now)
    assert part.run(step)
    assert steps == 3
    assert part.run(step)
    assert not part.run(step)
    assert steps == 7


def test_a_new_leader_observes_the_nodes_between_the_pages_that_it_reads(
    harness: TermHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the reading takes, a node that is silent meanwhile is fenced in time."""
    harness.add_node("w1")
    made = add("alice", 80)
    harness.until(lambda: running() == set(made))
    monkeypatch.setattr(takeover, "_ASSIGNMENTS_PER_PAGE", 1)
    monkeypatch.setattr(Takeover, "step", lambda self: self._read_page())
    harness.change_leader()
    harness.kill_node("w1")
    for _ in range(60):
        harness.tick()
    assert [it.state for it in harness.registry.all()] == ["fenced"]
    harness.add_node("w2")
    harness.until(lambda: placed() == dict.fromkeys(made, "w2"))


def test_sessions_in_every_range_of_ids_are_placed_and_stopped(
    harness: TermHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_scan, "_SESSIONS_PER_RANGE", 2)
    harness.add_node("w1")
    made = add("alice", 7)
    harness.until(lambda: running() == set(made))
    with transaction():
        for it in (made[0], made[3], made[6]):
            sessions.set_desired_state(sessions.find(str(it)), "paused")
    harness.until(lambda: set(placed()) == {made[1], made[2], made[4], made[5]})
    sessions.set_desired_state(sessions.find(str(made[6])), "running")
    harness.until(lambda: made[6] in placed())


def test_the_sessions_of_a_node_that_has_many_are_freed_in_several_ticks(
    harness: TermHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("afx.coordinator.dead_nodes._FREED_PER_TICK", 2)
    harness.add_node("w1")
    made = add("alice", 7)
    harness.until(lambda: running() == set(made))
    harness.add_node("w2")
    harness.kill_node("w1")
    harness.until(lambda: placed() == dict.fromkeys(made, "w2"))
    assert not harness.ran_twice
