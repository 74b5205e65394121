"""Long work beside failure detection: a slice of it in each tick."""

from __future__ import annotations

from collections.abc import Callable


class TimeSlice:
    """Bounds how long one tick works on something."""

    def __init__(self, seconds: float, monotonic: Callable[[], float]) -> None:
        self._seconds = seconds
        self._monotonic = monotonic

    def run(self, step: Callable[[], bool]) -> bool:
        """Call ``step`` until it returns False or the time is over; at least once.

        Returns whether there is work left.
        """
        until = self._monotonic() + self._seconds
        while step():
            if self._monotonic() >= until:
                return True
        return False
