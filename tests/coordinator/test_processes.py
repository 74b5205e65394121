"""Nodes with several host processes, as the leader sees them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from support.registries import IDLE
from support.term_harness import TermHarness, add, placed, running

from afx.app import context_for
from afx.cluster.worker_records import WorkerView, parse_view
from afx.config import load
from afx.coordinator.decisions.node_state import desired_state
from afx.coordinator.decisions.scale_in import NodeFigures, by_node
from afx.coordinator.wire import Headroom
from afx.errors import ConflictError
from afx.operations import sessions as session_operations
from afx.operations import workers as operations
from afx.operations.context import Context
from afx.operations.requests import Requested, together
from models.storage import assignments, controls, workers
from models.storage.sessions import SessionFilter

MIB = 1 << 20


@pytest.fixture
def context(home: Path, redis_url: str) -> Context:
    key = Fernet.generate_key().decode()
    return context_for(load(home=home, redis_url=redis_url, secret_key=key), "test")


def two_processes(harness: TermHarness) -> list[int]:
    """Return the running sessions of node big, which has two processes."""
    harness.add_node("big")
    harness.add_node("big.2")
    made: list[int] = add("alice", 6)
    harness.until(lambda: running() == set(made))
    harness.until(lambda: set(workers.names_beginning("big")) == {"big", "big.2"})
    return made


def epochs(process: str) -> dict[int, int]:
    return {it.session: it.epoch for it in assignments.active() if it.worker == process}


def states(harness: TermHarness) -> dict[str, str]:
    return {it.name: it.state for it in harness.registry.all()}


def test_sessions_are_placed_on_each_process(harness: TermHarness) -> None:
    two_processes(harness)
    assert set(placed().values()) == {"big", "big.2"}


def test_a_process_that_dies_costs_its_own_sessions_only(harness: TermHarness) -> None:
    made = two_processes(harness)
    before = epochs("big")
    harness.kill_node("big.2")
    harness.until(lambda: set(placed().values()) == {"big"} and running() == set(made))
    assert before.items() <= epochs("big").items()
    assert not harness.ran_twice


def test_a_drain_of_a_node_drains_all_its_processes(harness: TermHarness, context: Context) -> None:
    made = two_processes(harness)
    harness.add_node("w1")
    harness.tick()
    requested = operations.drain(context, ["big"])
    assert [it.target for it in requested] == ["big", "big.2"]
    harness.until(lambda: {controls.get(it.control)["state"] for it in requested} == {"done"})  # type: ignore[arg-type]
    assert set(placed().values()) == {"w1"} and running() == set(made)
    empty = {"big": "cordoned", "big.2": "cordoned", "w1": "ready"}
    harness.until(lambda: states(harness) == empty)
    operations.uncordon(context, ["big"])
    harness.until(lambda: set(states(harness).values()) == {"ready"})
    assert not harness.ran_twice


def test_one_process_alone_can_be_drained_into_the_others(
    harness: TermHarness, context: Context
) -> None:
    made = two_processes(harness)
    [requested] = operations.drain(context, ["big.2"])
    harness.until(lambda: controls.get(requested.control)["state"] == "done")  # type: ignore[arg-type]
    assert set(placed().values()) == {"big"} and running() == set(made)


def test_the_first_process_alone_can_be_drained_and_be_where_a_session_moves(
    harness: TermHarness, context: Context
) -> None:
    made = two_processes(harness)
    [requested] = operations.drain(context, ["big.1"])
    assert (requested.target, len(operations.show(context, "big.1").processes)) == ("big", 1)
    harness.until(lambda: controls.get(requested.control)["state"] == "done")  # type: ignore[arg-type]
    assert set(placed().values()) == {"big.2"} and running() == set(made)
    operations.uncordon(context, ["big.1"])
    harness.until(lambda: set(states(harness).values()) == {"ready"})
    moved = session_operations.move(context, str(made[0]), "big.1")
    harness.until(lambda: controls.get(moved.control)["state"] == "done")  # type: ignore[arg-type]
    assert placed()[made[0]] == "big"
    assert len(session_operations.listing(context, SessionFilter(node="big.1")).rows) == 1


def test_a_process_that_joins_a_cordoned_node_is_cordoned(
    harness: TermHarness, context: Context
) -> None:
    two_processes(harness)
    operations.cordon(context, ["big"])
    harness.add_node("big.3")
    harness.until(lambda: states(harness)["big.3"] == "cordoned")


def test_a_session_that_moves_to_a_node_runs_on_one_of_its_processes(
    harness: TermHarness, context: Context
) -> None:
    harness.add_node("w1")
    [made] = add("alice", 1)
    harness.until(lambda: running() == {made})
    harness.add_node("big.2")
    harness.until(lambda: "big.2" in workers.names_beginning("big."))
    # Its first process is gone.
    workers.seen_many([workers.Seen("big", "i", "h", "left")])
    requested = session_operations.move(context, str(made), "big")
    harness.until(lambda: controls.get(requested.control)["state"] == "done")  # type: ignore[arg-type]
    assert placed() == {made: "big.2"}
    again = session_operations.move(context, str(made), "big")
    assert again.control is None and "already runs" in again.note


def test_a_prefix_means_the_node_and_not_its_processes(
    harness: TermHarness, context: Context
) -> None:
    two_processes(harness)
    found = operations.show(context, "bi")
    assert found.name == "big"
    assert [it.name for it in found.processes] == ["big", "big.2"]
    assert operations.show(context, "big.2").name == "big.2"
    rows = session_operations.listing(context, SessionFilter(node="big")).rows
    assert {it.node for it in rows} == {"big", "big.2"}
    rows = session_operations.listing(context, SessionFilter(node="big.2")).rows
    assert {it.node for it in rows} == {"big.2"}
    [summary] = operations.by_node(operations.listing(context))
    assert (summary.name, summary.processes, summary.max_sessions) == ("big", 2, 200)
    assert summary.assigned == 6


def test_the_desired_state_of_a_node_holds_for_processes_that_have_none_of_their_own() -> None:
    desired = {"big": "cordoned", "w1.2": "draining"}
    assert desired_state(desired, "big") == desired_state(desired, "big.3") == "cordoned"
    assert (desired_state(desired, "w1.2"), desired_state(desired, "w1")) == ("draining", "ready")


def view(name: str, shares: int) -> WorkerView:
    found = parse_view(name, {"incarnation": "i", "state": "ready", "shares": str(shares)})
    return replace(found, metrics=replace(IDLE, ram_limit=2000 * MIB))


def test_processes_share_the_headroom_of_their_node() -> None:
    headroom = Headroom(512 * MIB, 0.1)
    assert headroom.of(view("big", 1)) == 512 * MIB
    assert headroom.of(view("big", 2)) == 256 * MIB
    assert headroom.of(view("big", 4)) == 200 * MIB  # its share of its own limit is more


@pytest.mark.parametrize(("text", "shares"), [("3", 3), ("0", 1), ("65", 1), ("x", 1), ("", 1)])
def test_a_malformed_count_of_processes_is_one(text: str, shares: int) -> None:
    found = parse_view("w1", {"incarnation": "i", "state": "ready", "shares": text})
    assert found.shares == shares
    assert ("shares" in found.faults) == (text != "3")


def test_scaling_counts_nodes_and_not_their_processes() -> None:
    one = NodeFigures("big", "a", 10, 100, 1, 50, 0.2, is_ready=False)
    two = NodeFigures("big.2", "b", 30, 100, 3, 50, 0.6)
    other = NodeFigures("w1", "c", 1, 100, 1, 50, 0.1)
    big, w1 = by_node([one, two, other])
    assert big == NodeFigures("big", "a", 40, 200, 4, 100, 0.4)
    assert w1 == other


@pytest.mark.parametrize("request_all", [operations.drain, operations.stop])
def test_a_process_that_is_named_twice_gets_one_control(
    harness: TermHarness, context: Context, request_all: Callable[..., Sequence[Requested]]
) -> None:
    two_processes(harness)
    requested = request_all(context, ["big", "big.2", "big"])
    assert [it.target for it in requested] == ["big", "big.2"]
    assert len({controls.get(it.control)["id"] for it in requested}) == 2  # type: ignore[arg-type]


def test_a_node_is_recycled_while_one_of_its_processes_is_already(
    harness: TermHarness, context: Context
) -> None:
    two_processes(harness)
    first = operations.recycle(context, "big.2")
    requested = operations.recycle_processes(context, "big")
    assert [it.target for it in requested] == ["big", "big.2"]
    assert requested[1].control == first.control
    assert requested[1].note == "is under way already"
    again = operations.recycle_processes(context, "big", forced=True)
    assert [it.control for it in again] == [it.control for it in requested]
    assert all(controls.get(it.control)["forced"] for it in again)  # type: ignore[arg-type]


def test_what_is_under_way_for_one_process_alone_is_a_conflict(
    harness: TermHarness, context: Context
) -> None:
    two_processes(harness)
    operations.recycle(context, "big.2")
    with pytest.raises(ConflictError):
        operations.recycle(context, "big.2")


def test_an_answer_with_room_for_one_control_names_those_of_the_other_processes() -> None:
    parts = [Requested("w1", None, "is already ready"), Requested("w1.2", 5), Requested("w1.3", 6)]
    assert together(parts) == Requested(
        "w1.2", 5, "see also control 6, of its other processes", (6,)
    )
    assert together(parts[:2]) == parts[1]
    assert together(parts[:1]) == parts[0]


def test_one_process_of_a_cordoned_node_can_be_uncordoned(
    harness: TermHarness, context: Context
) -> None:
    two_processes(harness)
    operations.cordon(context, ["big"])
    harness.until(lambda: set(states(harness).values()) == {"cordoned"})
    harness.add_node("big.3")
    harness.until(lambda: "big.3" in workers.names_beginning("big."))
    [requested] = operations.uncordon(context, ["big.2"])
    shown = f"{requested.control} uncordon of big.2 (requested)"
    assert shown in operations.show(context, "big").controls
    harness.until(lambda: controls.get(requested.control)["state"] == "done")  # type: ignore[arg-type]
    assert states(harness) == {"big": "cordoned", "big.2": "ready", "big.3": "cordoned"}
