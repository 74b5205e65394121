"""Lease arithmetic: when a node must stop, and when it may be replaced.

Source: the design's cluster protocols; the inequality is
``L_leader >= (L_node + D) * (1 + rho) + epsilon``.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

CLOCK_DRIFT = 0.01
"""rho: how much two machines' clocks may drift apart per second."""
EPSILON_SECONDS = 0.2
QUIET_SHARE = 0.6
"""Past this share of a lease without renewal, a node starts nothing new."""


@dataclass(slots=True, frozen=True)
class LeaseProfile:
    """The times of one lease profile, in seconds."""

    node: float
    """L_node: how long a node may run after one renewal."""
    close: float
    """D: how long it may take to close all sockets."""
    leader: float
    """L_leader: how long the leader watches an unchanged heartbeat."""
    lock_delay: float
    """G: what the leader waits after it has fenced a node."""
    suspect: float
    """After so long without a heartbeat a node gets no sessions."""

    @property
    def takeover(self) -> float:
        """The longest time from a node's last heartbeat to its replacement."""
        return self.leader + self.lock_delay

    @property
    def in_flight(self) -> float:
        """How long data that a node has written may stay in the network.

        Data are written at the deadline at the latest and must arrive before the takeover,
        whatever the drift of the two clocks.
        """
        drift = 1 + CLOCK_DRIFT
        return self.takeover / drift - self.node * drift - EPSILON_SECONDS


PROFILES = {
    "fast": LeaseProfile(node=3.0, close=0.5, leader=4.0, lock_delay=1.0, suspect=2.0),
    "safe": LeaseProfile(node=8.0, close=1.0, leader=10.0, lock_delay=2.0, suspect=3.0),
}


def check_profile(profile: LeaseProfile, heartbeat_seconds: float) -> None:
    """Raise ValueError when the times of a profile do not keep takeover safe."""
    least = (profile.node + profile.close) * (1 + CLOCK_DRIFT) + EPSILON_SECONDS
    if profile.leader < least:
        raise ValueError(f"the leader's lease must be at least {least:.2f} s")
    if profile.in_flight < 1:
        raise ValueError("the lock delay must leave a second for data in the network")
    if heartbeat_seconds * 2 > profile.node * QUIET_SHARE:
        raise ValueError("two heartbeats must fit into 60 % of the node's lease")
    if not heartbeat_seconds < profile.suspect < profile.leader:
        raise ValueError("suspicion must come after a heartbeat and before the leader's lease ends")


def now() -> float:
    """Return this machine's CLOCK_BOOTTIME, which also counts while suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def deadline(sent_at: float, profile: LeaseProfile) -> float:
    """Return when a node must have stopped.

    ``sent_at`` is CLOCK_BOOTTIME read before the renewal was sent, which then
    succeeded: the reply's time would count its delay in the node's favour.
    """
    return sent_at + profile.node


def quiet_from(sent_at: float, profile: LeaseProfile) -> float:
    """Return the time from which a node without a newer renewal starts nothing new."""
    return sent_at + QUIET_SHARE * profile.node
