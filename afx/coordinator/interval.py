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


class HurriedInterval:
    """Something that is due from time to time, and soon when there is news of it."""

    def __init__(self, seconds: float, least: float) -> None:
        """It is due ``least`` seconds after the last run when there is news, and not before."""
        self._seconds = seconds
        self._least = least
        self._next = self._next_hurried = 0.0
        self._has_news = False

    def is_due(self, now: float, *, news: bool) -> bool:
        """Return whether a run is due; news that comes too early is remembered."""
        self._has_news = self._has_news or news
        if now < self._next and not (self._has_news and now >= self._next_hurried):
            return False
        self._has_news = False
        self._next, self._next_hurried = now + self._seconds, now + self._least
        return True

    def finish(self, began: float, ended: float) -> None:
        """Note how long a run took: so much time there is between hurried ones at least."""
        self._next_hurried = max(self._next_hurried, ended + (ended - began))
