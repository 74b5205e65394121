"""How far controls have come: no end without what was asked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afx.coordinator.decisions.control_progress import (
    NODE_STATES,
    NodeSnapshot,
    SessionSnapshot,
    coordinator_step,
    node_step,
    session_step,
)
from models.transitions import CONTROL

OPEN = st.sampled_from(["requested", "sent", "acknowledged"])
node_looks = st.builds(
    NodeSnapshot,
    incarnation=st.sampled_from(["", "one", "two"]),
    state=st.sampled_from(["ready", "cordoned", "draining", "stopping"]),
    seen=st.sampled_from(["ready", "cordoned", "draining", "stopping"]),
    desired_state=st.sampled_from(["ready", "cordoned", "draining"]),
    sessions=st.integers(0, 3),
    stuck=st.integers(0, 3),
)
session_looks = st.builds(
    SessionSnapshot,
    exists=st.booleans(),
    desired_state=st.sampled_from(["running", "paused"]),
    removing=st.booleans(),
    has_rule=st.booleans(),
    hindrance=st.sampled_from(["", "all nodes are full"]),
    node=st.sampled_from(["", "w1", "w2"]),
    state=st.sampled_from(["", "assigned", "running", "stopping"]),
    moving=st.booleans(),
    refused=st.sampled_from(["", "no room"]),
)


@given(st.sampled_from([*NODE_STATES, "remove"]), OPEN, st.sampled_from(["", "one"]), node_looks)
def test_a_nodes_control_takes_only_steps_that_there_are(
    kind: str, state: str, bound: str, look: NodeSnapshot
) -> None:
    step = node_step(kind, state, bound, look)
    assert not step.state or step.state in CONTROL[state]


@given(
    st.sampled_from(["pause", "resume", "move", "remove"]),
    OPEN,
    st.sampled_from(["", "w1", "w2"]),
    session_looks,
)
def test_a_sessions_control_takes_only_steps_that_there_are(
    kind: str, state: str, target: str, look: SessionSnapshot
) -> None:
    step = session_step(kind, state, target, look)
    assert not step.state or step.state in CONTROL[state]
    if step.state == "done" and kind == "pause":
        assert not look.node
    if step.state == "done" and kind == "move":
        assert (look.node, look.state) == (target, "running")
    if step.state == "done" and kind == "remove":
        assert not look.exists


@given(OPEN, node_looks)
def test_a_drain_is_done_only_on_an_empty_node(state: str, look: NodeSnapshot) -> None:
    if node_step("drain", state, "", look).state == "done":
        assert look.sessions == 0


@given(OPEN, node_looks)
def test_a_node_is_forgotten_only_when_it_is_dead_and_owns_nothing(
    state: str, look: NodeSnapshot
) -> None:
    if node_step("remove", state, "", look).state == "done":
        assert not look.incarnation and not look.sessions


@pytest.mark.parametrize("kind", ["cordon", "uncordon", "drain"])
def test_a_live_node_must_have_heard_it_before_it_is_done(kind: str) -> None:
    held = NODE_STATES[kind]
    other = "ready" if held != "ready" else "cordoned"
    assert node_step(kind, "requested", "", NodeSnapshot("i", other, other, held, 0)).state == ""
    unheard = NodeSnapshot("i", held, other, held, 0)
    assert node_step(kind, "requested", "", unheard).state == "sent"
    assert node_step(kind, "sent", "i", unheard).state == ""
    heard = NodeSnapshot("i", held, held, held, 0)
    assert node_step(kind, "sent", "i", heard).state == "acknowledged"
    assert node_step(kind, "acknowledged", "i", heard).state == "done"


def test_a_stop_is_done_when_that_incarnation_is_gone_and_not_before() -> None:
    live = NodeSnapshot("one", "stopping", "stopping", "ready", 2)
    assert node_step("stop", "acknowledged", "one", live).state == ""
    assert (
        node_step("stop", "acknowledged", "one", NodeSnapshot("", "", "", "ready", 0)).state
        == "done"
    )
    later = NodeSnapshot("two", "ready", "ready", "ready", 0)
    assert node_step("stop", "acknowledged", "one", later).state == "done"


def test_a_move_that_began_under_another_leader_is_not_given_up() -> None:
    still = SessionSnapshot(exists=True, node="w1", state="running")
    assert session_step("move", "sent", "w2", still).state == ""
    refused = SessionSnapshot(exists=True, node="w1", state="running", refused="no room")
    assert session_step("move", "sent", "w2", refused).state == "failed"


@given(OPEN, st.booleans(), st.floats(0, 100))
def test_coordinators_are_recycled_when_a_new_one_leads_and_not_before(
    state: str, older: bool, waited: float
) -> None:
    step = coordinator_step(state, older, waited)
    assert not step.state or step.state in CONTROL[state]
    assert (step.state == "done") is not older


def test_a_leader_gives_way_only_after_its_standbys_had_time_to_begin_anew() -> None:
    assert coordinator_step("requested", True, 0.5).state == ""
    assert coordinator_step("requested", True, 5.0).state == "sent"
    assert coordinator_step("sent", True, 5.0).state == ""
