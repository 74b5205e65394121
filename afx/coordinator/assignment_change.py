"""What goes into the assignment table, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from afx.coordinator.decisions.placement import Placement
from models.storage import assignments
from models.storage.assignments import Active


@dataclass(slots=True, frozen=True)
class Proposal:
    """A place for a session, with what its assignment records."""

    placement: Placement
    revision: int
    """Of the session's rules."""
    queued: bool = False
    """It is in the overflow queue."""


@dataclass(slots=True, frozen=True)
class Placed:
    """What became of proposals."""

    active: Mapping[int, Active]
    """session → its new assignment."""
    no_room: tuple[int, ...] = ()
    """Sessions whose node had no room."""
    unreleased: tuple[Active, ...] = ()
    """The owners in Redis because of which sessions could not be placed."""


@dataclass(slots=True)
class Change:
    """What one transaction changes; each method writes to SQL at once."""

    running: list[int] = field(default_factory=list)
    stopping: list[int] = field(default_factory=list)
    ended: dict[int, Active] = field(default_factory=dict)

    def run(self, actives: Sequence[Active]) -> None:
        """Note that nodes run sessions; what SQL knows already is not written again."""
        starting = [it for it in actives if it.state != "running"]
        assignments.mark_running([(it.session, it.epoch) for it in starting])
        self.running += (it.session for it in starting)

    def touched(self) -> list[int]:
        """Return the sessions whose assignments it changes."""
        return [*self.running, *self.stopping, *self.ended]

    def stop(self, actives: Sequence[Active]) -> None:
        """Note that nodes are to stop sessions."""
        assignments.mark_stopping([(it.session, it.epoch) for it in actives])
        self.stopping += (it.session for it in actives)

    def end(self, actives: Sequence[Active], reason: str) -> None:
        """Note that no node runs sessions any more; ``reason`` is for people."""
        assignments.end_many([(it.session, it.epoch) for it in actives], reason)
        self.ended.update((it.session, it) for it in actives)
