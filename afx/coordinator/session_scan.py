"""Passes over all sessions, a range of ids in each tick."""

from __future__ import annotations

from dataclasses import dataclass

from models.storage import sessions

_SESSIONS_PER_RANGE = 5_000


@dataclass(slots=True, frozen=True)
class Range:
    """Sessions whose ids are after ``beyond``, up to ``to``."""

    beyond: int
    to: int | None
    """None: up to the last one."""


class SessionScan:
    """Where a pass over all sessions is."""

    def __init__(self) -> None:
        self._beyond = 0

    @property
    def is_under_way(self) -> bool:
        """Whether a pass has begun and has not ended."""
        return self._beyond > 0

    def current(self) -> Range:
        """Return the range that is next; it stays the same until ``advance``."""
        return Range(self._beyond, sessions.nth_after(self._beyond, _SESSIONS_PER_RANGE))

    def advance(self, done: Range) -> bool:
        """Go on after a range; returns whether the pass goes on."""
        self._beyond = done.to or 0
        return self.is_under_way

    def restart(self) -> None:
        """Begin a new pass with the next range."""
        self._beyond = 0
