"""How long a cluster is without a coordinator that leads, while faults befall it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import psutil

from afx.cluster.leadership import LeaderRecord
from afx.lease import LeaseProfile

_ELECTION_SECONDS = 6.0
"""From a leader's death to the term of the next one, beside the lease of the nodes."""


def bound_seconds(lease: LeaseProfile) -> float:
    """Return for how long at most no coordinator may lead, if one can."""
    return _ELECTION_SECONDS + lease.takeover


@dataclass(slots=True, frozen=True)
class ControlPlaneFigures:
    """The outages of one run."""

    outages: int
    longest_seconds: float
    bound_seconds: float

    @property
    def is_within_bound(self) -> bool:
        """Whether a coordinator led again in time after each fault."""
        return self.longest_seconds <= self.bound_seconds


class ControlPlaneWatch:
    """Adds up what is observed from time to time.

    An outage lasts from the first moment at which a coordinator could lead and none does
    to the moment at which one leads.
    """

    def __init__(self, bound: float) -> None:
        """``bound``: see ``bound_seconds``."""
        self._bound = bound
        self._outages = 0
        self._longest = 0.0
        self._since: float | None = None

    def note(self, now: float, *, leads: bool, can_lead: bool) -> None:
        """Note whether a coordinator leads at a time (seconds), and whether one could.

        None could while no coordinator runs, or while a fault keeps Redis from answering.
        """
        if not leads and can_lead:
            if self._since is None:
                self._since = now
                self._outages += 1
            self._longest = max(self._longest, now - self._since)
        else:
            self._since = None

    def figures(self) -> ControlPlaneFigures:
        """Return the outages up to the last note."""
        return ControlPlaneFigures(self._outages, round(self._longest, 2), self._bound)


def works(pid: int | None) -> bool:
    """Return whether a process exists and is not suspended."""
    if pid is None:
        return False
    try:
        status = psutil.Process(pid).status()
    except psutil.Error:
        return False
    return status not in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE)


def leads(leader: LeaderRecord | None, coordinators: Iterable[int]) -> bool:
    """Return whether the leader is one of these processes and works."""
    return leader is not None and leader.pid in set(coordinators) and works(leader.pid)
