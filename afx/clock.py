"""The clocks that components read, passed in so that tests and the simulation can replace them."""

import time
from collections.abc import Callable
from dataclasses import dataclass


def _boottime() -> float:
    """Return seconds since boot; the time that the machine was suspended counts."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True)
class Clock:
    """Three readings of time, each in seconds.

    Durations are measured with ``monotonic``. Leases are measured with
    ``boottime``, which also advances while the machine is suspended. ``time`` is
    the wall clock, for records that people read; it is never compared between
    machines, except for the waits that Telegram asks for (``node/waits.py``).
    """

    monotonic: Callable[[], float] = time.monotonic
    boottime: Callable[[], float] = _boottime
    time: Callable[[], float] = time.time


SYSTEM_CLOCK = Clock()
