"""Figures about the whole cluster, kept for a moment: counting 100,000 sessions takes its time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from afx.api.generations import Generation, OwnGeneration

T = TypeVar("T")
_LEAST_SECONDS = 0.5
_MOST = 1_000
_SHARE = 0.04
"""Of the time, at most, that is spent on one figure."""


@dataclass(slots=True, frozen=True)
class _Value:
    made_at: float
    age: float
    """How many seconds old it may get."""
    generation: bytes
    value: Any


class Kept:
    """Values by name; each is made by one thread, and again after a while."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        generation: Generation | None = None,
    ) -> None:
        """``generation`` is of all processes that serve the same address."""
        self._clock = clock
        self._lock = threading.Lock()
        self._generation = generation or OwnGeneration()
        self._locks: dict[str, threading.Lock] = {}
        self._values: dict[str, _Value] = {}

    def get(
        self,
        name: str,
        make: Callable[[], T],
        *,
        least: float = _LEAST_SECONDS,
        until_changed: bool = True,
    ) -> T:
        """Return a value that is as old as 25 times what it takes to make it, ``least`` at least.

        It may be twice as old while another thread makes it again, and nothing was changed.
        Only for what is the same for every actor that may see it. With ``until_changed`` off it
        is kept though something was changed.
        """
        with self._lock:
            if len(self._locks) > _MOST:
                self._values.clear()
                self._locks.clear()
            lock = self._locks.setdefault(name, threading.Lock())
        if not lock.acquire(blocking=False):
            # Another thread makes it again: of requests that come meanwhile, none waits.
            if (known := self._known(name, 2.0, until_changed)) is not None:
                return cast("T", known.value)
            lock.acquire()
        try:
            if (known := self._known(name, 1.0, until_changed)) is not None:
                return cast("T", known.value)
            began, generation = self._clock(), self._generation.current()
            made = make()
            ended = self._clock()
            age = max(least, (ended - began) / _SHARE)
            # If something is changed meanwhile, its generation is an old one.
            self._values[name] = _Value(ended, age, generation, made)
            return made
        finally:
            lock.release()

    def _known(self, name: str, overdue: float, until_changed: bool) -> _Value | None:
        """Return a value that is at most ``overdue`` times as old as it may get; None without."""
        it = self._values.get(name)
        if it is None or (until_changed and it.generation != self._generation.current()):
            return None
        return it if self._clock() - it.made_at < overdue * it.age else None

    def forget(self) -> None:
        """Make every value again: something was changed, and whoever did it looks at it."""
        self._generation.advance()
