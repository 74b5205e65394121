"""What is done about a host process that uses too much RAM: a pure decision.

By itself it first gives back what it does not need (``afx/node/heap.py``). Then some of its
sessions move to other nodes; those that are quiet hibernate, where that is set; at last the
host is replaced, because Python gives memory back only when a process ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from afx.coordinator.decisions.forecast import Trend, forecast

_LEAST_EXCESS = 64 * 1024 * 1024
"""What a host uses beyond its need is no reason below this."""
_ENOUGH_MOVED = 2
"""Moves do not help when so many times what was needed has moved, and RAM is still short."""
_STEADY = 0.1
"""A trend begins again when the count of sessions has changed by more than this share."""
_MOST_SAMPLES = 360
_DAY_HOURS = 24.0


class Relief(StrEnum):
    """What is done next."""

    NONE = "none"
    MOVE = "move"
    """Sessions move to other nodes."""
    REPLACE = "replace"
    """The host is replaced in place."""
    RECYCLE = "recycle"
    """All its sessions move to other nodes, and it restarts: in place there is no room."""


@dataclass(slots=True, frozen=True, kw_only=True)
class HostMemory:
    """A ready host process, as the leader sees it; sizes in bytes."""

    used: int
    """Its RSS without that of the empty host."""
    needed: float
    """What its sessions need by their classes."""
    free: int
    """What may still be placed on it; below 0 its headroom is touched."""
    moved: int = 0
    """What has moved away since its RAM became short."""
    to_move: int = 0
    """What had to move away then."""
    hours_left: float | None = None
    """Until its headroom is touched, if it goes on as it did; None: that is not to be seen."""


@dataclass(slots=True, frozen=True)
class Limits:
    """What the settings say."""

    factor: float
    """A host that uses so many times what its sessions need is replaced; 0: none is."""
    hours: float
    """One whose growth fills it within so many hours is replaced; 0: none is."""


def relief(host: HostMemory, limits: Limits) -> Relief:
    """Return what is done about a host."""
    excess = host.used - host.needed
    bloated = bool(limits.factor) and excess >= _LEAST_EXCESS
    bloated = bloated and host.used > limits.factor * host.needed
    grows = host.hours_left is not None and host.hours_left < limits.hours
    if (bloated or grows) and host.free >= host.needed:
        return Relief.REPLACE
    if host.free >= 0:
        return Relief.NONE
    enough = bool(host.to_move) and host.moved >= _ENOUGH_MOVED * host.to_move
    if limits.factor and enough and excess >= _LEAST_EXCESS:
        return Relief.RECYCLE
    return Relief.MOVE


@dataclass(slots=True, frozen=True)
class Sample:
    """The RAM of a host at one time."""

    at: float
    """Seconds."""
    rss: int
    sessions: int


def noted(samples: Sequence[Sample], sample: Sample) -> list[Sample]:
    """Return the samples of a trend with one more; growth by more sessions is no trend."""
    first = samples[0].sessions if samples else sample.sessions
    if abs(sample.sessions - first) > _STEADY * max(first, 1):
        return [sample]
    return [*samples[-(_MOST_SAMPLES - 1) :], sample]


def hours_left(samples: Sequence[Sample], free: int) -> float | None:
    """Return in how many hours ``free`` bytes more are used, by the trend of the samples.

    None when no trend is clear: it needs an hour.
    """
    if not samples:
        return None
    found = forecast([(it.at, float(it.rss)) for it in samples], float(samples[-1].rss + free))
    if found.trend is not Trend.RISING or found.days is None:
        return None
    return found.days * _DAY_HOURS
