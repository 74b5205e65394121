"""How far an operator's control has come: pure functions of what the leader sees."""

from __future__ import annotations

from dataclasses import dataclass

NODE_STATES: dict[str, str] = {
    "cordon": "cordoned",
    "uncordon": "ready",
    "drain": "draining",
    "stop": "stopping",
    "recycle": "draining",
}
"""The state of a node in which a control's wish is fulfilled."""
STANDBYS_SECONDS = 3.0
"""Standbys begin anew first; so long the leader lets them."""


@dataclass(slots=True, frozen=True)
class Step:
    """Where a control has come to; an empty state: it stays where it is."""

    state: str = ""
    note: str = ""


@dataclass(slots=True, frozen=True)
class NodeSnapshot:
    """What the leader sees of a control's node."""

    incarnation: str
    """Empty when none lives."""
    state: str
    seen: str
    desired_state: str
    sessions: int
    stuck: int = 0


@dataclass(slots=True, frozen=True)
class SessionSnapshot:
    """What the leader sees of a control's session."""

    exists: bool
    desired_state: str = "running"
    removing: bool = False
    has_rule: bool = True
    hindrance: str = ""
    """Its trouble, or why it waits."""
    node: str = ""
    """Empty when no node has it."""
    state: str = ""
    """Of its assignment."""
    moving: bool = False
    """Room is kept for it on another node."""
    refused: str = ""
    """Why a move that was asked for cannot be."""


def node_step(kind: str, state: str, bound: str, look: NodeSnapshot) -> Step:
    """Return how far a node's control has come.

    ``bound`` is the incarnation to which it was sent, if it was.
    """
    if kind == "remove":
        if look.incarnation:
            return Step("failed", "it lives; stop it first")
        return Step("done" if not look.sessions else "", _left(look))
    if kind == "recycle":
        return _recycle_step(state, bound, look)
    if kind == "stop":
        if not look.incarnation or (bound and bound != look.incarnation):
            return Step("done", "it has stopped")
    elif look.desired_state != NODE_STATES[kind] and not (
        kind == "cordon" and look.desired_state == "draining"
    ):
        return Step("cancelled", f"superseded: the desired state is {look.desired_state}")
    elif not look.incarnation:
        if kind == "drain" and look.sessions:
            return Step("", _left(look))
        return Step("done", f"it does not run; it will begin {_later(kind)}")
    elif look.state == "stopping":
        return Step("failed", "it is about to stop")
    if look.state not in (NODE_STATES[kind], "draining" if kind == "cordon" else ""):
        return Step()
    if state == "requested":
        return Step("sent")
    if state == "sent":
        return Step("acknowledged") if look.seen == look.state else Step()
    if kind == "drain" and look.sessions:
        return Step("", _left(look))
    if kind == "stop":
        return Step("", _left(look))
    return Step("done", "no session is left on it" if kind == "drain" else "")


def _recycle_step(state: str, bound: str, look: NodeSnapshot) -> Step:
    """A recycled node is drained, then begins anew, and is ready again."""
    if not look.incarnation:
        # It is between two incarnations, or was not there to begin with.
        return Step() if bound else Step("failed", "it does not run")
    if bound and bound != look.incarnation:
        return Step("done", "it has begun anew")
    if look.state not in ("draining", "recycling"):
        return Step()
    if state == "requested":
        return Step("sent")
    if state == "sent":
        heard = look.seen in ("draining", "recycling")
        return Step("acknowledged", _left(look)) if heard else Step("", _left(look))
    return Step("", _left(look))


def coordinator_step(state: str, older: bool, waited: float) -> Step:
    """Return how far the recycling of the coordinators has come, as the leader sees it.

    ``older`` is a leader that was there before it was asked for; ``waited`` are the
    seconds since it knows of it.
    """
    if not older:
        return Step("done", "the coordinator that leads has begun anew")
    if state == "requested" and waited >= STANDBYS_SECONDS:
        return Step("sent", "the leader gives way")
    return Step()


def session_step(kind: str, state: str, target: str, look: SessionSnapshot) -> Step:
    """Return how far a session's control has come; ``target`` is a move's node."""
    if not look.exists:
        return Step("done" if kind == "remove" else "cancelled", "it is removed")
    if look.removing and kind != "remove":
        return Step("cancelled", "it is being removed")
    here = f"on {look.node}" if look.node else ""
    if kind in ("pause", "remove"):
        if kind == "pause" and look.desired_state != "paused":
            return Step("cancelled", "superseded: the desired state is running")
        if not look.node:
            return Step("done" if kind == "pause" else "", "no node runs it")
        if state == "requested" and look.state == "stopping":
            return Step("sent", f"stopping {here}")
        return Step()
    if look.desired_state != "running":
        return Step("cancelled" if kind == "resume" else "failed", "it is paused")
    if not look.has_rule:
        return Step(
            "done" if kind == "resume" else "failed", "it has no enabled rule, so nothing to do"
        )
    if kind == "resume":
        if look.state == "running":
            return Step("done", f"it runs {here}")
        return Step("", f"starting {here}" if here else look.hindrance)
    return _move_step(state, target, look, here)


def _move_step(state: str, target: str, look: SessionSnapshot, here: str) -> Step:
    if look.state == "running" and look.node == target and not look.moving:
        return Step("done", f"it runs {here}")
    if look.moving and state == "requested":
        return Step("sent", f"stopping {here}" if here else "")
    if look.refused:
        return Step("failed", look.refused)
    return Step("", "" if here else look.hindrance)


def _left(look: NodeSnapshot) -> str:
    if not look.sessions:
        return ""
    told = f"{look.sessions} sessions left"
    return f"{told}, {look.stuck} fit on no other node now" if look.stuck else told


def _later(kind: str) -> str:
    return {"cordon": "cordoned", "uncordon": "ready", "drain": "cordoned"}[kind]
