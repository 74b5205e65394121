"""Figures about the whole cluster, kept for a moment: counting 100,000 sessions takes its time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")
_LEAST_SECONDS = 0.5
_MOST = 1_000
_SHARE = 0.04
"""Of the time, at most, that is spent on one figure."""


class Kept:
    """Values by name; each is made by one thread, and again after a while."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._generation = 0
        """Rises with each change."""
        self._locks: dict[str, threading.Lock] = {}
        self._values: dict[str, tuple[float, Any]] = {}

    def get(self, name: str, make: Callable[[], T]) -> T:
        """Return a value that is as old as 25 times what it takes to make it, 0.5 s at least.

        Only for what is the same for every actor that may see it.
        """
        with self._lock:
            lock = self._locks.setdefault(name, threading.Lock())
            if len(self._values) > _MOST:
                self._values.clear()
        with lock:
            began = self._clock()
            until, value = self._values.get(name, (0.0, None))
            if began < until:
                found: T = value
                return found
            generation = self._generation
            made = make()
            ended = self._clock()
            age = max(_LEAST_SECONDS, (ended - began) / _SHARE)
            if generation == self._generation:  # else it may be older than a change
                self._values[name] = ended + age, made
            return made

    def forget(self) -> None:
        """Make every value again: something was changed, and whoever did it looks at it."""
        with self._lock:
            self._generation += 1
            self._values.clear()
            if len(self._locks) > _MOST:
                self._locks.clear()
