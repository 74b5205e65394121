"""A host process that is replaced in place: the leader moves its sessions to the new one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from support.registries import IDLE
from support.term_harness import TermHarness, add, placed, running

from afx.app import context_for
from afx.cluster.worker_records import WorkerView, parse_view
from afx.config import load
from afx.coordinator.decisions.control_progress import ControlSnapshot, NodeSnapshot, Step
from afx.coordinator.decisions.control_progress import replace as progress
from afx.coordinator.decisions.node_state import may_change, target_state
from afx.coordinator.decisions.placement import Node
from afx.coordinator.successors import Successors
from afx.operations import workers as operations
from afx.operations.context import Context
from models.storage import controls, workers


@pytest.fixture
def context(home: Path, redis_url: str) -> Context:
    key = Fernet.generate_key().decode()
    return context_for(load(home=home, redis_url=redis_url, secret_key=key), "test")


def begun(harness: TermHarness, context: Context, *others: str) -> tuple[list[int], int]:
    """Return the sessions of w1, of which the host is to be replaced, and the control."""
    harness.add_node("w1")
    made: list[int] = add("alice", 40)
    harness.until(lambda: running() == set(made))
    for name in others:
        harness.add_node(name)
    harness.until(lambda: {"w1", *others} == set(workers.names_beginning("w")))
    control = operations.recycle(context, "w1", in_place=True).control
    assert control is not None
    harness.until(lambda: state_of(harness, "w1") == "replacing")
    return made, control


def state_of(harness: TermHarness, name: str) -> str:
    return {it.name: it.state for it in harness.registry.all()}[name]


def add_successor(harness: TermHarness, most: int = 100) -> None:
    harness.add_node("w1.2", most, replaces="w1-1")


def end_when_told(harness: TermHarness) -> None:
    """Do what the supervisor does: its host ends once it has no session left."""
    harness.until(lambda: state_of(harness, "w1") == "recycling")
    harness.kill_node("w1")
    harness.registry.leave("w1", "w1-1")


def test_all_sessions_move_to_the_successor_and_the_old_host_ends(
    harness: TermHarness, context: Context
) -> None:
    made, control = begun(harness, context, "w2")
    add_successor(harness)
    end_when_told(harness)
    assert set(placed().values()) == {"w1.2"}
    harness.until(lambda: controls.get(control)["state"] == "done" and running() == set(made))
    assert not harness.ran_twice
    assert all(len(harness.sent("stop", it)) == 1 for it in made)


def test_no_session_stops_before_the_successor_is_there(
    harness: TermHarness, context: Context
) -> None:
    made, _ = begun(harness, context, "w2")
    for _ in range(5):
        harness.tick()
    assert not any(harness.sent("stop", it) for it in made)


def test_without_a_successor_sessions_move_to_other_nodes(
    harness: TermHarness, context: Context
) -> None:
    made, _ = begun(harness, context, "w2")
    harness.tick(31)
    end_when_told(harness)
    assert set(placed().values()) == {"w2"}
    harness.until(lambda: running() == set(made))
    assert not harness.ran_twice


def test_what_finds_no_room_on_the_successor_moves_to_other_nodes(
    harness: TermHarness, context: Context
) -> None:
    made, _ = begun(harness, context, "w2")
    add_successor(harness, most=30)
    harness.until(lambda: list(placed().values()).count("w1.2") == 30)
    harness.tick(31)
    end_when_told(harness)
    harness.until(lambda: running() == set(made))
    assert list(placed().values()).count("w2") == 10
    assert not harness.ran_twice


def test_the_next_leader_goes_on_with_a_replacement(harness: TermHarness, context: Context) -> None:
    made, control = begun(harness, context)
    add_successor(harness)
    harness.until(lambda: "w1.2" in placed().values())
    harness.change_leader()
    end_when_told(harness)
    harness.until(lambda: controls.get(control)["state"] == "done" and running() == set(made))
    assert set(placed().values()) == {"w1.2"}
    assert not harness.ran_twice


def test_a_successor_that_dies_loses_no_session(harness: TermHarness, context: Context) -> None:
    made, _ = begun(harness, context, "w2")
    add_successor(harness)
    harness.until(lambda: "w1.2" in placed().values())
    harness.kill_node("w1.2")
    harness.until(lambda: "w1.2" not in placed().values())
    harness.tick(31)
    end_when_told(harness)
    harness.until(lambda: running() == set(made))
    assert not harness.ran_twice


def test_a_replacement_that_was_cancelled_is_still_finished(
    harness: TermHarness, context: Context
) -> None:
    made, control = begun(harness, context)
    add_successor(harness)
    harness.until(lambda: "w1.2" in placed().values())
    controls.cancel(control, "an operator")
    end_when_told(harness)
    harness.until(lambda: running() == set(made))


def test_one_process_of_a_node_is_replaced_at_a_time(
    harness: TermHarness, context: Context
) -> None:
    begun(harness, context, "w1.2")
    for _ in range(3):
        harness.tick()
    assert state_of(harness, "w1.2") == "ready"


def test_a_cordoned_node_is_not_replaced_in_place(harness: TermHarness, context: Context) -> None:
    harness.add_node("w1")
    harness.until(lambda: bool(workers.names_beginning("w1")))
    operations.cordon(context, ["w1"])
    control = operations.recycle(context, "w1", in_place=True).control
    assert control is not None
    harness.until(lambda: controls.get(control)["state"] == "failed")
    assert "uncordon it first" in controls.get(control)["note"]
    assert state_of(harness, "w1") == "cordoned"


@pytest.mark.parametrize(
    ("desired", "state", "kinds", "sessions", "target"),
    [
        ("ready", "ready", {"replace"}, 3, "replacing"),
        ("ready", "ready", {"replace"}, 0, "recycling"),
        ("cordoned", "ready", {"replace"}, 3, "cordoned"),
        ("ready", "replacing", set(), 3, "replacing"),
        ("cordoned", "replacing", set(), 3, "replacing"),
        ("ready", "replacing", {"recycle"}, 3, "replacing"),
        ("ready", "replacing", set(), 0, "recycling"),
        ("ready", "replacing", {"stop"}, 3, "stopping"),
    ],
)
def test_a_replacement_that_has_begun_goes_on(
    desired: str, state: str, kinds: set[str], sessions: int, target: str
) -> None:
    found = target_state(desired, state=state, kinds=kinds, forced=False, sessions=sessions)
    assert found == target
    assert may_change(state, target) == (state != target)


def node(**changes: object) -> NodeSnapshot:
    defaults = {
        "incarnation": "a",
        "state": "replacing",
        "acknowledged_state": "ready",
        "desired_state": "ready",
        "sessions": 5,
    }
    return NodeSnapshot(**{**defaults, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "incarnation", "snapshot", "step"),
    [
        ("requested", "", node(incarnation=""), Step("failed", "node is not running")),
        ("requested", "", node(state="ready"), Step()),
        ("requested", "", node(), Step("sent")),
        ("sent", "a", node(), Step("", "5 sessions left")),
        (
            "sent",
            "a",
            node(acknowledged_state="replacing"),
            Step("acknowledged", "5 sessions left"),
        ),
        ("acknowledged", "a", node(state="recycling", sessions=0), Step("", "")),
        (
            "acknowledged",
            "a",
            node(incarnation="b"),
            Step("done", "a new host process runs its sessions"),
        ),
        (
            "acknowledged",
            "a",
            node(incarnation="", others=1),
            Step("done", "a new host process runs its sessions"),
        ),
        ("acknowledged", "a", node(incarnation=""), Step("", "it has ended, and restarts")),
    ],
)
def test_how_far_a_replacement_has_come(
    state: str, incarnation: str, snapshot: NodeSnapshot, step: Step
) -> None:
    assert progress(ControlSnapshot(state=state, incarnation=incarnation), snapshot) == step


def view(name: str, state: str = "ready", replaces: str = "") -> WorkerView:
    found = parse_view(name, {"incarnation": f"{name}-1", "state": state, "replaces": replaces})
    return replace(found, metrics=IDLE)


def home_of(name: str) -> Node:
    return Node(name, f"{name}-1", 1, 1, 0.0, 0, 1, 1)


def test_sessions_may_move_anywhere_only_when_none_has_moved_for_long() -> None:
    successors = Successors()
    nodes = [view("w1", "replacing"), view("w1.2", replaces="w1-1"), view("w2")]
    ready = [home_of("w1.2"), home_of("w2")]

    def homes(count: int, now: float) -> list[str]:
        return [it.name for it in successors.homes(nodes, ready, {"w1-1": count}, now)["w1-1"]]

    assert homes(9, 0.0) == homes(8, 29.0) == homes(8, 58.0) == ["w1.2"]
    assert homes(8, 59.0) == homes(7, 60.0) == ["w1.2", "w2"]


def test_a_node_that_is_drained_has_no_chosen_home() -> None:
    assert not Successors().homes([view("w1", "draining")], [home_of("w2")], {"w1-1": 3}, 0.0)
