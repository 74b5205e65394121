"""Draining a node that has more sessions than move at a time."""

from __future__ import annotations

from pathlib import Path

from support.term_harness import TermHarness, add, placed, running

from afx.app import context_for
from afx.config import load
from afx.operations import workers as operations
from models.storage import controls, sessions, workers
from models.storage.control_subjects import NodeSubject

MORE_THAN_MOVE_AT_A_TIME = 40


def drained(harness: TermHarness, *, region: str = "") -> list[int]:
    """Return the sessions of node w1, which is to be drained; they may require a region."""
    harness.add_node("w1", region="eu")
    made: list[int] = add("alice", MORE_THAN_MOVE_AT_A_TIME)
    if region:
        for it in made:
            sessions.set_requires(sessions.find(str(it)), {"region": region})
    harness.until(lambda: running() == set(made))
    return made


def state_of(harness: TermHarness, name: str) -> str:
    return {it.name: it.state for it in harness.registry.all()}[name]


def test_a_recycle_while_all_other_nodes_are_cordoned_fails_and_the_node_is_ready_again(
    harness: TermHarness,
) -> None:
    drained(harness)
    harness.add_node("w2")
    harness.tick()
    workers.set_desired_state("w2", "cordoned")
    harness.tick()
    control = controls.request(kind="recycle", subject=NodeSubject("w1"), actor="me")
    harness.until(lambda: controls.get(control.id)["state"] == "failed")
    assert "make room on another node" in controls.get(control.id)["note"]
    harness.until(lambda: state_of(harness, "w1") == "ready")


def test_sessions_that_fit_nowhere_do_not_keep_the_others_on_a_draining_node(
    harness: TermHarness,
) -> None:
    stuck = drained(harness, region="eu")
    others = add("bob", 3)
    harness.until(lambda: set(others) <= running())
    harness.add_node("w2", region="us")
    harness.tick()
    workers.set_desired_state("w1", "draining")
    harness.until(lambda: all(placed().get(it) == "w2" for it in others))
    assert all(placed()[it] == "w1" for it in stuck)


def test_the_node_with_the_fewest_sessions_is_recycled_first(
    harness: TermHarness, home: Path, redis_url: str
) -> None:
    harness.add_node("w1")
    made = add("alice", 3)
    harness.until(lambda: running() == set(made))
    harness.add_node("w2")
    context = context_for(load(home=home, redis_url=redis_url), "test")
    assert operations.least_loaded(context, ["w1", "w2"]) == "w2"
    assert operations.least_loaded(context, ["w1"]) == "w1"
