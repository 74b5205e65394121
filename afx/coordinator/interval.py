"""Something that is due from time to time."""

from __future__ import annotations


class Interval:
    """Says when the next run is due, on the caller's clock."""

    def __init__(self, seconds: float, *, first: float = 0.0) -> None:
        """The first run is due at ``first``."""
        self._seconds = seconds
        self._next = first

    def is_due(self, now: float) -> bool:
        """Return whether a run is due; if so, the next one is due an interval later."""
        if now < self._next:
            return False
        self._next = now + self._seconds
        return True
