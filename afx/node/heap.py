"""Keeps the sessions of a host out of full garbage collections.

A full collection looks at all that lives: at 5,000 sessions it stops the event loop for
0.75 s, a quarter of a lease. What lives long is frozen instead. Sessions that have ended
are cycles, which only a collection of all frees: it is made when many have ended.

What a burst took and has freed, the C library keeps for later, in more and more places: a
node that forwards for long would seem to grow. It is asked to give it back.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable
from typing import Any, Protocol

_LEAST_STARTED, _STARTED_SHARE = 50, 0.1
_LEAST_ENDED, _ENDED_SHARE = 500, 0.25
_TRIM_SECONDS = 60.0


class Collector(Protocol):
    """Python's garbage collector; the module ``gc`` is one."""

    def freeze(self) -> None:
        """Ignore all that lives now in later collections."""

    def unfreeze(self) -> None:
        """Look at all that was frozen again."""

    def collect(self) -> int:
        """Free what nothing refers to."""


class Heap:
    """Decides when the heap of a host is frozen, and when it is collected."""

    def __init__(self, collector: Collector, give_back: Callable[[], Any]) -> None:
        """``give_back`` gives unused memory back to the system."""
        self._collector = collector
        self._give_back = give_back
        self._trimmed_at: float | None = None
        self._frozen = 0
        """Sessions that lived when the heap was last frozen."""
        self._collected = 0
        """Sessions that had ended when it was last collected."""

    def trim(self, now: float) -> None:
        """Free what nothing refers to, and give it back to the system: RAM is short.

        At most once a minute: it stops the event loop for a moment.
        """
        if self._trimmed_at is None or now - self._trimmed_at >= _TRIM_SECONDS:
            self._trimmed_at = now
            self._collector.unfreeze()
            self._collector.collect()
            self._collector.freeze()
            self._give_back()

    def step(self, alive: int, ended: int) -> None:
        """Freeze after many starts, and collect after many ends.

        ``alive`` sessions exist now, ``ended`` have ended since the process began. Unused
        memory is given back each time.
        """
        self._tend(alive, ended)
        self._give_back()

    def _tend(self, alive: int, ended: int) -> None:
        if ended - self._collected >= max(_LEAST_ENDED, alive * _ENDED_SHARE):
            self._collected = ended
            self._collector.unfreeze()
            self._collector.collect()
        elif alive - self._frozen < max(_LEAST_STARTED, self._frozen * _STARTED_SHARE):
            self._frozen = min(self._frozen, alive)
            return
        self._frozen = alive
        self._collector.freeze()


def give_back_memory() -> None:
    """Give memory that is free back to the system, where the C library can (glibc).

    It takes 0.01 ms when there is none, and below a millisecond for some MiB. Source:
    malloc_trim(3).
    """
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
