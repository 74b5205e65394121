"""How far controls have come: no end before what was requested is so."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afx.coordinator.decisions.control_progress import (
    COORDINATORS_PROGRESS,
    NODE_PROGRESS,
    SESSION_PROGRESS,
    STANDBY_HEAD_START_SECONDS,
    STUCK_SECONDS,
    ControlSnapshot,
    CoordinatorsSnapshot,
    NodeSnapshot,
    SessionSnapshot,
    Step,
)
from models.storage.control_subjects import (
    KINDS,
    CoordinatorsSubject,
    NodeSubject,
    SessionSubject,
)
from models.transitions import CONTROL

STATES = ["ready", "cordoned", "draining", "stopping", "recycling"]
OPEN = st.sampled_from(["requested", "sent", "acknowledged"])
node_controls = st.builds(
    ControlSnapshot, state=OPEN, incarnation=st.sampled_from(["", "one"]), target=st.just("")
)
session_controls = st.builds(
    ControlSnapshot, state=OPEN, incarnation=st.just(""), target=st.sampled_from(["", "w1", "w2"])
)
nodes = st.builds(
    NodeSnapshot,
    incarnation=st.sampled_from(["", "one", "two"]),
    state=st.sampled_from(STATES),
    acknowledged_state=st.sampled_from(STATES),
    desired_state=st.sampled_from(["ready", "cordoned", "draining"]),
    sessions=st.integers(0, 3),
    stuck=st.integers(0, 3),
    stuck_seconds=st.sampled_from([0.0, STUCK_SECONDS]),
)
session_snapshots = st.builds(
    SessionSnapshot,
    exists=st.booleans(),
    desired_state=st.sampled_from(["running", "paused", "hibernated"]),
    hibernates=st.booleans(),
    removing=st.booleans(),
    has_rule=st.booleans(),
    hindrance=st.sampled_from(["", "all nodes are full"]),
    node=st.sampled_from(["", "w1", "w2"]),
    state=st.sampled_from(["", "assigned", "running", "stopping"]),
    moving=st.booleans(),
    refused=st.sampled_from(["", "no room"]),
)


def node_step(kind: str, at: str, sent_to: str = "", /, **changes: Any) -> Step:
    fields = {
        "incarnation": "one",
        "state": "ready",
        "acknowledged_state": "ready",
        "desired_state": "ready",
        "sessions": 0,
        **changes,
    }
    control = ControlSnapshot(state=at, incarnation=sent_to)
    return NODE_PROGRESS[kind](control, NodeSnapshot(**fields))


def session_step(kind: str, at: str, target: str = "", /, **changes: Any) -> Step:
    control = ControlSnapshot(state=at, target=target)
    return SESSION_PROGRESS[kind](control, SessionSnapshot(**{"exists": True, **changes}))


def test_each_control_that_may_be_requested_has_its_progress() -> None:
    assert set(NODE_PROGRESS) == set(KINDS[NodeSubject])
    assert set(SESSION_PROGRESS) == set(KINDS[SessionSubject])
    assert set(COORDINATORS_PROGRESS) == set(KINDS[CoordinatorsSubject])


@given(st.sampled_from(sorted(NODE_PROGRESS)), node_controls, nodes)
def test_a_nodes_control_takes_only_steps_that_exist(
    kind: str, control: ControlSnapshot, node: NodeSnapshot
) -> None:
    step = NODE_PROGRESS[kind](control, node)
    assert not step.state or step.state in CONTROL[control.state]
    if step.state == "done" and kind == "drain":
        assert not node.sessions
    if step.state == "done" and kind == "remove":
        assert not node.incarnation and not node.sessions
    if step.state == "done" and kind == "recycle":
        assert control.incarnation and node.incarnation != control.incarnation
    if step.state == "done" and kind == "stop":
        assert not node.incarnation or node.incarnation != control.incarnation


@given(st.sampled_from(sorted(SESSION_PROGRESS)), session_controls, session_snapshots)
def test_a_sessions_control_takes_only_steps_that_exist(
    kind: str, control: ControlSnapshot, session: SessionSnapshot
) -> None:
    step = SESSION_PROGRESS[kind](control, session)
    assert not step.state or step.state in CONTROL[control.state]
    if step.state == "done" and kind == "pause":
        assert not session.node
    if step.state == "done" and kind == "hibernate":
        assert session.hibernates and (not session.node or session.desired_state == "running")
    if step.state == "done" and kind == "wake":
        assert not session.hibernates
    if step.state == "done" and kind == "move":
        assert (session.node, session.state) == (control.target, "running")
    if step.state == "done" and kind == "remove":
        assert not session.exists


@given(OPEN, st.booleans(), st.floats(0, 100))
def test_coordinators_are_recycled_when_a_new_one_leads_and_not_before(
    state: str, older: bool, waited: float
) -> None:
    snapshot = CoordinatorsSnapshot(is_older=older, waited_seconds=waited)
    step = COORDINATORS_PROGRESS["recycle"](ControlSnapshot(state=state), snapshot)
    assert not step.state or step.state in CONTROL[state]
    assert (step.state == "done") is not older


def test_a_leader_restarts_only_after_its_standbys_had_time_to_restart() -> None:
    def step(state: str, waited: float) -> str:
        snapshot = CoordinatorsSnapshot(is_older=True, waited_seconds=waited)
        return COORDINATORS_PROGRESS["recycle"](ControlSnapshot(state=state), snapshot).state

    assert step("requested", STANDBY_HEAD_START_SECONDS - 0.1) == ""
    assert step("requested", STANDBY_HEAD_START_SECONDS) == "sent"
    assert step("sent", STANDBY_HEAD_START_SECONDS) == ""


@pytest.mark.parametrize(
    ("kind", "desired"), [("cordon", "cordoned"), ("uncordon", "ready"), ("drain", "draining")]
)
def test_a_running_node_must_have_acknowledged_it_before_it_is_done(
    kind: str, desired: str
) -> None:
    other = "ready" if desired != "ready" else "cordoned"
    before = {"state": other, "acknowledged_state": other, "desired_state": desired}
    assert node_step(kind, "requested", **before) == Step()
    unheard = {"state": desired, "acknowledged_state": other, "desired_state": desired}
    assert node_step(kind, "requested", **unheard).state == "sent"
    assert node_step(kind, "sent", "one", **unheard).state == ""
    heard = unheard | {"acknowledged_state": desired}
    assert node_step(kind, "sent", "one", **heard).state == "acknowledged"
    assert node_step(kind, "acknowledged", "one", **heard).state == "done"


@pytest.mark.parametrize(
    ("kind", "desired", "other"),
    [
        ("cordon", "cordoned", "ready"),
        ("uncordon", "ready", "cordoned"),
        ("drain", "draining", "ready"),
    ],
)
def test_a_superseded_control_is_cancelled_and_names_its_successor(
    kind: str, desired: str, other: str
) -> None:
    step = node_step(kind, "sent", desired_state=other, state=desired)
    assert step == Step("cancelled", f"superseded: desired state is {other}")


@pytest.mark.parametrize(
    ("kind", "desired", "later"),
    [
        ("cordon", "cordoned", "cordoned"),
        ("uncordon", "ready", "ready"),
        ("drain", "draining", "cordoned"),
    ],
)
def test_a_node_that_is_not_running_starts_in_its_desired_state(
    kind: str, desired: str, later: str
) -> None:
    gone = {"incarnation": "", "state": "", "acknowledged_state": ""}
    step = node_step(kind, "requested", **gone, desired_state=desired)
    assert step == Step("done", f"node is not running; it will start {later}")


def test_a_drain_counts_as_a_cordon() -> None:
    draining = {"desired_state": "draining", "state": "draining", "acknowledged_state": "draining"}
    assert node_step("cordon", "acknowledged", "one", **draining).state == "done"


def test_a_node_that_is_stopping_is_not_cordoned() -> None:
    step = node_step("cordon", "requested", desired_state="cordoned", state="stopping")
    assert step == Step("failed", "node is stopping")


def test_a_drain_waits_for_room_and_reports_it() -> None:
    draining = {"desired_state": "draining", "state": "draining", "acknowledged_state": "draining"}
    step = node_step("drain", "acknowledged", "one", **draining, sessions=5, stuck=3)
    assert step == Step("", "5 sessions left, 3 fit on no other node")


def test_a_stop_is_done_when_that_incarnation_has_gone_and_not_before() -> None:
    stopping = {"state": "stopping", "acknowledged_state": "stopping"}
    assert node_step("stop", "requested", **stopping).state == "sent"
    assert node_step("stop", "sent", "one", **stopping).state == "acknowledged"
    assert node_step("stop", "acknowledged", "one", **stopping, sessions=2) == Step(
        "", "2 sessions left"
    )
    control = ControlSnapshot(state="acknowledged", incarnation="one")
    for incarnation in ("", "two"):
        later = NodeSnapshot(
            incarnation=incarnation,
            state="ready",
            acknowledged_state="ready",
            desired_state="ready",
            sessions=0,
        )
        assert NODE_PROGRESS["stop"](control, later) == Step("done", "node has stopped")


def test_a_recycle_drains_the_node_restarts_it_and_is_done_with_the_next_incarnation() -> None:
    draining = {"state": "draining", "acknowledged_state": "draining", "sessions": 2}
    assert node_step("recycle", "requested") == Step()
    assert node_step("recycle", "requested", **draining).state == "sent"
    assert node_step("recycle", "sent", "one", **draining).state == "acknowledged"
    assert node_step("recycle", "acknowledged", "one", **draining) == Step("", "2 sessions left")
    control = ControlSnapshot(state="acknowledged", incarnation="old")
    ready = NodeSnapshot(
        incarnation="new",
        state="ready",
        acknowledged_state="ready",
        desired_state="ready",
        sessions=0,
    )
    assert NODE_PROGRESS["recycle"](control, ready) == Step("done", "restarted")


def test_a_recycle_fails_when_the_node_cannot_be_drained_for_long() -> None:
    draining = {"state": "draining", "acknowledged_state": "draining", "sessions": 2, "stuck": 2}
    waiting = node_step("recycle", "acknowledged", "one", **draining, stuck_seconds=1.0)
    assert waiting == Step("", "2 sessions left, 2 fit on no other node")
    step = node_step("recycle", "acknowledged", "one", **draining, stuck_seconds=STUCK_SECONDS)
    assert step.state == "failed" and "make room on another node" in step.note


def test_a_running_node_is_not_removed() -> None:
    assert node_step("remove", "requested") == Step("failed", "node is running; stop it first")


def test_a_node_of_which_another_process_runs_is_not_removed() -> None:
    """Its name would mean nothing then, and the process could not be found by it."""
    first = node_step("remove", "requested", incarnation="", is_first=True, others=1)
    assert first == Step("failed", "other processes of the node are running; stop it first")
    assert node_step("remove", "requested", incarnation="", others=1) == Step("done")


def test_a_pause_is_sent_when_the_session_stops_and_done_when_no_node_runs_it() -> None:
    paused = {"desired_state": "paused"}
    assert session_step("pause", "requested", **paused, node="w1", state="running") == Step()
    stopping = session_step("pause", "requested", **paused, node="w1", state="stopping")
    assert stopping == Step("sent", "stopping on w1")
    assert session_step("pause", "sent", **paused).state == "done"
    superseded = session_step("pause", "sent", desired_state="running")
    assert superseded == Step("cancelled", "superseded: desired state is running")


def test_a_resume_is_done_when_the_session_runs() -> None:
    assert session_step("resume", "requested", hindrance="no room") == Step("", "no room")
    starting = session_step("resume", "requested", node="w1", state="assigned")
    assert starting == Step("", "starting on w1")
    running = session_step("resume", "requested", node="w1", state="running")
    assert running == Step("done", "running on w1")
    assert session_step("resume", "requested", has_rule=False).state == "done"
    assert session_step("resume", "requested", desired_state="paused").state == "cancelled"


def test_a_move_continues_under_a_new_leader() -> None:
    still = {"node": "w1", "state": "running"}
    assert session_step("move", "sent", "w2", **still).state == ""
    assert session_step("move", "sent", "w2", **still, refused="no room").state == "failed"
    moving = session_step("move", "requested", "w2", **still, moving=True)
    assert moving == Step("sent", "stopping on w1")
    assert session_step("move", "sent", "w2", node="w2", state="running") == Step(
        "done", "running on w2"
    )


@pytest.mark.parametrize("why", [{"desired_state": "paused"}, {"has_rule": False}])
def test_a_session_that_does_not_run_is_not_moved(why: dict[str, Any]) -> None:
    assert session_step("move", "requested", "w2", **why).state == "failed"


@pytest.mark.parametrize("kind", ["pause", "resume", "move"])
def test_the_removal_of_a_session_ends_its_other_controls(kind: str) -> None:
    removing = session_step(kind, "requested", removing=True, node="w1", state="running")
    assert removing == Step("cancelled", "session is being removed")
    assert session_step(kind, "requested", exists=False).state == "cancelled"


def test_a_session_is_removed_once_no_node_runs_it() -> None:
    assert session_step("remove", "requested", node="w1", state="running").state == ""
    assert session_step("remove", "requested", node="w1", state="stopping").state == "sent"
    assert session_step("remove", "sent") == Step("", "no node runs it")
    assert session_step("remove", "sent", exists=False) == Step("done", "session is removed")
