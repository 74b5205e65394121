"""Who is dead: decided on one observer's own monotonic clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from afx.lease import LeaseProfile

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
    """Return the sightings after a look at (incarnation, seq) of all nodes.

    What is new counts as seen now: so an observer that has just begun waits a
    whole lease before it declares anybody dead.
    """
    after: dict[str, Sighting] = {}
    for incarnation, seq in seen:
        held = before.get(incarnation)
        after[incarnation] = held if held and held.seq == seq else Sighting(seq, now)
    return after


def health(sighting: Sighting, now: float, profile: LeaseProfile) -> Health:
    """Return what the silence since a sighting means."""
    silence = now - sighting.at
    if silence >= profile.leader:
        return "silent"
    return "suspect" if silence >= profile.suspect else "alive"


def may_take_over(fenced_at: float, now: float, profile: LeaseProfile) -> bool:
    """Return whether the lock delay after a fence has passed."""
    return now - fenced_at >= profile.lock_delay
