"""Virtual time: actions run in the order of their times, as fast as they can."""

from __future__ import annotations

import heapq
from collections.abc import Callable


class Clock:
    """The time of the simulated cluster, and all that is still to happen."""

    def __init__(self) -> None:
        self.now = 0.0
        self.scheduled = 0
        """How many actions were ever scheduled; it orders those of the same time."""
        self._actions: list[tuple[float, int, Callable[[], None]]] = []

    def after(self, delay: float, action: Callable[[], None]) -> None:
        """Run an action when so many seconds have passed."""
        self.scheduled += 1
        heapq.heappush(self._actions, (self.now + delay, self.scheduled, action))

    def run(self, seconds: float, *, stop: Callable[[], bool]) -> None:
        """Run all actions of the next seconds, or until ``stop`` says so."""
        end = self.now + seconds
        while self._actions and self._actions[0][0] <= end and not stop():
            self.now, _, action = heapq.heappop(self._actions)
            action()
        self.now = end
