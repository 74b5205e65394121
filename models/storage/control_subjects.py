"""What a control is about: a node, a session or the coordinators; and a control as a value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, frozen=True)
class NodeSubject:
    """A control is about one node."""

    name: str


@dataclass(slots=True, frozen=True)
class SessionSubject:
    """A control is about one session."""

    session_id: int | None
    """None once the session has been removed."""


@dataclass(slots=True, frozen=True)
class CoordinatorsSubject:
    """A control is about all coordinators."""


Subject = NodeSubject | SessionSubject | CoordinatorsSubject

KINDS: dict[type[Subject], tuple[str, ...]] = {
    NodeSubject: ("cordon", "uncordon", "drain", "stop", "recycle", "replace", "remove"),
    SessionSubject: ("pause", "resume", "remove", "move", "hibernate", "wake"),
    CoordinatorsSubject: ("recycle",),
}
"""The controls that each subject may have."""


@dataclass(slots=True, frozen=True, kw_only=True)
class Control:
    """One control, as the coordinator works on it."""

    id: int
    kind: str
    state: str
    subject: Subject
    target: str
    """The node to which a session moves; empty: any, or no move."""
    incarnation: str
    """The incarnation of the node that it was sent to; empty: the running one."""
    forced: bool
    """The node is restarted without being drained first."""
    note: str
