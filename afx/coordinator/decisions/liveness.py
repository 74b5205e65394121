"""Which nodes are dead: decided on one observer's own monotonic clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from afx.lease import LeaseProfile


class DeathReason(StrEnum):
    """Why the sessions of an incarnation are free to run elsewhere."""

    LEFT = "left"
    """It stopped all its sessions and said so."""
    REPLACED = "replaced"
    """It has no record any more: another incarnation has its name, or Redis lost it."""
    PROCESSES_GONE = "processes_gone"
    """All its processes were seen to have ended."""
    LEASE_EXPIRED = "lease_expired"
    """It sent no heartbeat for a whole lease, was fenced, and the lock delay has passed."""

    @property
    def is_failure(self) -> bool:
        """Whether the node failed, rather than ended by itself or was replaced."""
        return self in (DeathReason.PROCESSES_GONE, DeathReason.LEASE_EXPIRED)


Health = Literal["alive", "suspect", "silent", "fenced"]


@dataclass(slots=True, frozen=True)
class Sighting:
    """The last change of a node's heartbeat that this observer saw."""

    seq: int
    at: float
    """Monotonic seconds of the observer."""


Sightings = Mapping[str, Sighting]
"""incarnation → its last sighting."""


def observe(before: Sightings, seen: Iterable[tuple[str, int]], now: float) -> dict[str, Sighting]:
    """Return the sightings after reading (incarnation, seq) of all nodes.

    A new incarnation counts as seen now: an observer that has just begun waits
    a whole lease before it declares a node dead.
    """
    after: dict[str, Sighting] = {}
    for incarnation, seq in seen:
        last = before.get(incarnation)
        after[incarnation] = last if last and last.seq == seq else Sighting(seq, now)
    return after


def health(sighting: Sighting, now: float, profile: LeaseProfile) -> Health:
    """Return what the time since the last heartbeat means."""
    silence = now - sighting.at
    if silence >= profile.leader:
        return "silent"
    return "suspect" if silence >= profile.suspect else "alive"


def may_take_over(fenced_at: float, now: float, profile: LeaseProfile) -> bool:
    """Return whether the lock delay after a fence has passed."""
    return now - fenced_at >= profile.lock_delay
