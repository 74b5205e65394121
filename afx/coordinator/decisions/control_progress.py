"""How far controls have come: one pure function per kind, of what the leader sees.

Each takes the control and a snapshot of its subject, and returns the next step. What
follows from a step, in SQL and on the nodes, is the business of ``controls.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from afx.process_names import is_within

STANDBY_HEAD_START_SECONDS = 3.0
"""Standbys restart first; the leader restarts so much later."""
STUCK_SECONDS = 30.0
"""A recycle fails when for so long no other node has had room for what is left."""


@dataclass(slots=True, frozen=True)
class Step:
    """The state that a control enters; empty when it stays in its state."""

    state: str = ""
    note: str = ""


@dataclass(slots=True, frozen=True, kw_only=True)
class ControlSnapshot:
    """What of a control decides its next step."""

    state: str
    incarnation: str = ""
    """The incarnation to which it was sent, if it was."""
    target: str = ""
    """The node to which a session moves, if that is known."""


@dataclass(slots=True, frozen=True, kw_only=True)
class NodeSnapshot:
    """What the leader sees of a control's node."""

    incarnation: str
    """Empty when none is running."""
    state: str
    acknowledged_state: str
    """The state of which the node's last heartbeat knew."""
    desired_state: str
    sessions: int
    stuck: int = 0
    """How many of them no other node has room for now."""
    stuck_seconds: float = 0.0
    """For how long that has been so of all of them."""
    others: int = 0
    """How many other processes of its node run."""
    is_first: bool = False
    """It is the process that has the node's name, by which the node is found."""


@dataclass(slots=True, frozen=True, kw_only=True)
class SessionSnapshot:
    """What the leader sees of a control's session."""

    exists: bool
    desired_state: str = "running"
    removing: bool = False
    has_rule: bool = True
    hibernates: bool = False
    """It does, also while it is awake for a short time."""
    hindrance: str = ""
    """Its trouble, or why it waits."""
    node: str = ""
    """Empty when no node has it."""
    state: str = ""
    """Of its assignment."""
    moving: bool = False
    """Room is reserved for it on another node."""
    refused: str = ""
    """Why a requested move cannot be made."""


@dataclass(slots=True, frozen=True, kw_only=True)
class CoordinatorsSnapshot:
    """What the leader knows of a recycle of the coordinators."""

    is_older: bool
    """The leader was running before the control was requested."""
    waited_seconds: float
    """For how long the leader has known of the control."""


# --- nodes ----------------------------------------------------------------------------


def cordon(control: ControlSnapshot, node: NodeSnapshot) -> Step:
    """A node gets no more sessions; a drain, which includes that, does as well."""
    if node.desired_state not in ("cordoned", "draining"):
        return _superseded(node.desired_state)
    return _apply_state(control, node, ("cordoned", "draining"), "cordoned") or Step("done")


def uncordon(control: ControlSnapshot, node: NodeSnapshot) -> Step:
    """A node may be given sessions again."""
    if node.desired_state != "ready":
        return _superseded(node.desired_state)
    return _apply_state(control, node, ("ready",), "ready") or Step("done")


def drain(control: ControlSnapshot, node: NodeSnapshot) -> Step:
    """All sessions of a node move to others; what has no room elsewhere stays until it has."""
    if node.desired_state != "draining":
        return _superseded(node.desired_state)
    if not node.incarnation and node.sessions:
        return Step("", _sessions_left(node))
    step = _apply_state(control, node, ("draining",), "cordoned")
    if step is not None:
        return step
    return Step("", _sessions_left(node)) if node.sessions else Step("done", "no session is left")


def stop(control: ControlSnapshot, node: NodeSnapshot) -> Step:
    """A node stops its sessions and ends."""
    if not node.incarnation or _is_replaced(control, node):
        return Step("done", "node has stopped")
    if node.state != "stopping":
        return Step()
    return _acknowledgement(control, node) or Step("", _sessions_left(node))


def recycle(control: ControlSnapshot, node: NodeSnapshot) -> Step:
    """A node is drained and restarts, and is ready again."""
    if not node.incarnation:
        # Between two incarnations, or not running in the first place.
        if control.incarnation and node.others:
            return Step("done", "it has ended; other processes of its node run")
        return Step() if control.incarnation else Step("failed", "node is not running")
    if _is_replaced(control, node):
        return Step("done", "restarted")
    if node.state == "draining" and node.stuck_seconds >= STUCK_SECONDS:
        return Step(
            "failed",
            f"{_sessions_left(node)}; make room on another node, "
            "or recycle it without draining it first",
        )
    if node.state not in ("draining", "recycling"):
        return Step()
    if control.state == "sent" and node.acknowledged_state in ("draining", "recycling"):
        return Step("acknowledged", _sessions_left(node))
    if control.state == "requested":
        return Step("sent")
    return Step("", _sessions_left(node))


def replace(control: ControlSnapshot, node: NodeSnapshot) -> Step:
    """A new host process takes over the sessions of an old one, one by one; the old one ends."""
    if not node.incarnation or _is_replaced(control, node):
        if not control.incarnation:
            return Step("failed", "node is not running")
        if not node.incarnation and not node.others:
            return Step("", "it has ended, and restarts")
        return Step("done", "a new host process runs its sessions")
    if node.state not in ("replacing", "recycling"):
        if node.desired_state != "ready":
            return Step("failed", f"node is {node.desired_state}; uncordon it first, or recycle it")
        return Step()
    if control.state == "requested":
        return Step("sent")
    if control.state == "sent" and node.acknowledged_state in ("replacing", "recycling"):
        return Step("acknowledged", _sessions_left(node))
    return Step("", _sessions_left(node))


def remove_node(control: ControlSnapshot, node: NodeSnapshot) -> Step:
    """A node that has stopped for good is forgotten, once it owns no session."""
    del control
    if node.incarnation:
        return Step("failed", "node is running; stop it first")
    if node.is_first and node.others:
        return Step("failed", "other processes of the node are running; stop it first")
    return Step("", _sessions_left(node)) if node.sessions else Step("done")


def _apply_state(
    control: ControlSnapshot, node: NodeSnapshot, states: tuple[str, ...], later: str
) -> Step | None:
    """Return the step of a node that has to enter a state; None once it has acknowledged.

    ``later`` is the state in which a node that is not running will start.
    """
    if not node.incarnation:
        return Step("done", f"node is not running; it will start {later}")
    if node.state == "stopping":
        return Step("failed", "node is stopping")
    if node.state not in states:
        return Step()
    return _acknowledgement(control, node)


def _acknowledgement(control: ControlSnapshot, node: NodeSnapshot) -> Step | None:
    """Return the step towards the node's acknowledgement; None once it is there."""
    if control.state == "requested":
        return Step("sent")
    if control.state == "sent":
        return Step("acknowledged") if node.acknowledged_state == node.state else Step()
    return None


def _is_replaced(control: ControlSnapshot, node: NodeSnapshot) -> bool:
    return bool(control.incarnation) and control.incarnation != node.incarnation


def _superseded(desired_state: str) -> Step:
    return Step("cancelled", f"superseded: desired state is {desired_state}")


def _sessions_left(node: NodeSnapshot) -> str:
    if not node.sessions:
        return ""
    text = f"{node.sessions} sessions left"
    return f"{text}, {node.stuck} fit on no other node" if node.stuck else text


# --- sessions -------------------------------------------------------------------------


def pause(control: ControlSnapshot, session: SessionSnapshot) -> Step:
    """A session stops, and is not placed again until it is resumed."""
    ended = _ended(session)
    if ended is not None:
        return ended
    if session.desired_state != "paused":
        return _superseded(session.desired_state)
    if not session.node:
        return Step("done", "no node runs it")
    return _stopping(control, session)


def resume(control: ControlSnapshot, session: SessionSnapshot) -> Step:
    """A session runs again."""
    del control
    ended = _ended(session)
    if ended is not None:
        return ended
    if session.desired_state != "running":
        return _superseded(session.desired_state)
    if not session.has_rule:
        return Step("done", "session has no enabled rule and does not run")
    if session.state == "running":
        return Step("done", f"running on {session.node}")
    return Step("", f"starting on {session.node}" if session.node else session.hindrance)


def hibernate(control: ControlSnapshot, session: SessionSnapshot) -> Step:
    """A session stops, and wakes from time to time."""
    ended = _ended(session)
    if ended is not None:
        return ended
    if not session.hibernates or session.desired_state == "paused":
        return _superseded(session.desired_state)
    if session.desired_state != "hibernated":
        return Step("done", "it is awake for a short time already")
    if not session.node:
        return Step("done", "no node runs it")
    return _stopping(control, session)


def wake(control: ControlSnapshot, session: SessionSnapshot) -> Step:
    """A session that hibernated runs again, and stays awake."""
    if session.exists and session.hibernates:
        return Step("cancelled", "superseded: it hibernates")
    return resume(control, session)


def move(control: ControlSnapshot, session: SessionSnapshot) -> Step:
    """A session stops on its node, and runs on another one."""
    ended = _ended(session)
    if ended is not None:
        return ended
    if session.desired_state != "running":
        return Step("failed", f"session is {session.desired_state}")
    if not session.has_rule:
        return Step("failed", "session has no enabled rule and does not run")
    is_there = bool(control.target) and is_within(session.node, control.target)
    if session.state == "running" and is_there and not session.moving:
        return Step("done", f"running on {session.node}")
    if session.moving and control.state == "requested":
        return Step("sent", f"stopping on {session.node}" if session.node else "")
    if session.refused:
        return Step("failed", session.refused)
    return Step("", "" if session.node else session.hindrance)


def remove_session(control: ControlSnapshot, session: SessionSnapshot) -> Step:
    """A session is removed, once no node runs it."""
    if not session.exists:
        return Step("done", "session is removed")
    if not session.node:
        return Step("", "no node runs it")
    return _stopping(control, session)


def _ended(session: SessionSnapshot) -> Step | None:
    """Return the end of a control whose session is removed."""
    if not session.exists:
        return Step("cancelled", "session is removed")
    return Step("cancelled", "session is being removed") if session.removing else None


def _stopping(control: ControlSnapshot, session: SessionSnapshot) -> Step:
    if control.state == "requested" and session.state == "stopping":
        return Step("sent", f"stopping on {session.node}")
    return Step()


# --- coordinators ---------------------------------------------------------------------


def recycle_coordinators(control: ControlSnapshot, coordinators: CoordinatorsSnapshot) -> Step:
    """All coordinators restart: the standbys first, then the leader."""
    if not coordinators.is_older:
        return Step("done", "the leading coordinator has restarted")
    is_due = coordinators.waited_seconds >= STANDBY_HEAD_START_SECONDS
    if control.state == "requested" and is_due:
        return Step("sent", "the leading coordinator restarts")
    return Step()


NODE_PROGRESS: Mapping[str, Callable[[ControlSnapshot, NodeSnapshot], Step]] = {
    "cordon": cordon,
    "uncordon": uncordon,
    "drain": drain,
    "stop": stop,
    "recycle": recycle,
    "replace": replace,
    "remove": remove_node,
}
SESSION_PROGRESS: Mapping[str, Callable[[ControlSnapshot, SessionSnapshot], Step]] = {
    "pause": pause,
    "resume": resume,
    "remove": remove_session,
    "move": move,
    "hibernate": hibernate,
    "wake": wake,
}
COORDINATORS_PROGRESS: Mapping[str, Callable[[ControlSnapshot, CoordinatorsSnapshot], Step]] = {
    "recycle": recycle_coordinators,
}
