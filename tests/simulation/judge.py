"""What Telegram sees, and what must never be: the judge of a simulated cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from random import Random

from simulation.clock import Clock

from afx import lease

MAX_VIOLATIONS = 5
"""A run ends after so many: more of them say nothing new."""
IN_FLIGHT = lease.PROFILES["fast"].in_flight
"""A write may reach Telegram so long after it was made (TCP_USER_TIMEOUT).

The lock delay exists for it: without drift, a takeover comes L_leader + G − L_node
= 2 s after a node's last write at the earliest.
"""
IN_FLIGHT_AFTER_CLOSE = 0.15
"""The same for a socket that was closed: nothing is sent again (SO_LINGER 0)."""


class Judge:
    """Sees every write, every placement; ``violations`` is empty when the protocol worked."""

    def __init__(
        self,
        clock: Clock,
        random: Random,
        *,
        sessions: Iterable[int],
        capacity: int,
        data_outlives_its_process: bool,
    ) -> None:
        self.violations: list[str] = []
        self.placements = self.takeovers = self.moves = 0
        self._clock = clock
        self._random = random
        self._capacity = capacity
        self._data_outlives_its_process = data_outlives_its_process
        self._load: Counter[str] = Counter()
        """Active assignments of each incarnation, whatever Redis counts."""
        self._highest_epoch = dict.fromkeys(sessions, 0)
        self._connected: dict[int, tuple[str, float]] = {}
        """Session → the incarnation that wrote last, until when its data may arrive."""

    @property
    def is_done(self) -> bool:
        """Whether enough violations were found."""
        return len(self.violations) >= MAX_VIOLATIONS

    # --- writes to Telegram -----------------------------------------------------

    def write(self, session: int, epoch: int, incarnation: str) -> None:
        """A session uses its connection."""
        connected = self._connected.get(session)
        if connected and connected[0] != incarnation and connected[1] > self._clock.now:
            self._violation(f"session {session} is used by {connected[0]} and by {incarnation}")
        if epoch < self._highest_epoch[session]:
            self._violation(f"session {session} runs under an old epoch")
        self._highest_epoch[session] = max(epoch, self._highest_epoch[session])
        until = self._clock.now + self._random.uniform(0, IN_FLIGHT)
        self._connected[session] = (incarnation, until)

    def close(self, session: int, incarnation: str) -> None:
        """A connection is closed, by its session or by the kernel of a dead process."""
        connected = self._connected.get(session)
        if connected is None or connected[0] != incarnation:
            return
        now = self._clock.now
        if self._data_outlives_its_process:
            until = now + self._random.uniform(0, IN_FLIGHT)
        else:
            until = min(connected[1], now + self._random.uniform(0, IN_FLIGHT_AFTER_CLOSE))
        self._connected[session] = (incarnation, until)

    def close_all(self, incarnation: str) -> None:
        """All connections of a dead process are closed."""
        for session in list(self._connected):
            self.close(session, incarnation)

    # --- assignments ---------------------------------------------------------------

    def place(self, node: str, incarnation: str) -> None:
        """A session is placed on a node."""
        self.placements += 1
        self._load[incarnation] += 1
        if self._load[incarnation] > self._capacity:
            self._violation(f"{node} is beyond its capacity")

    def active_twice(self, session: int) -> None:
        """A session is placed although it has an active assignment."""
        self._violation(f"session {session} is active twice")

    def end(self, incarnation: str) -> None:
        """An assignment has ended."""
        self._load[incarnation] -= 1

    def _violation(self, what: str) -> None:
        self.violations.append(f"{self._clock.now:.2f}: {what}")
