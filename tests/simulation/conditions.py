"""What may go wrong in a simulated cluster, and which rules are left out on purpose."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from simulation.clock import Clock


@dataclass(slots=True, frozen=True)
class Faults:
    """How often each fault happens, as a probability per message or per second."""

    lose: float = 0.02
    late: float = 0.05
    doubled: float = 0.03
    pause: float = 0.01
    crash: float = 0.004
    stall: float = 0.01
    leader_pause: float = 0.02
    partition: float = 0.01
    drift: float = 0.009
    flush: float = 0.004
    """Redis forgets everything."""
    failover: float = 0.004
    """A replica takes over that lacks the last seconds."""
    give_up: float = 0.05
    """A session that cannot go on ends by itself, and its node reports it."""
    move: float = 0.1
    """No fault: sessions that are moved, for each tick of a coordinator."""


@dataclass(slots=True, frozen=True)
class OmittedRules:
    """Rules of the protocol that are left out: the judge must find a violation for each."""

    no_lock_delay: bool = False
    deadline_from_reply: bool = False
    start_without_ack: bool = False
    stale_term_accepted: bool = False
    ended_epoch_restarts: bool = False
    data_outlives_its_process: bool = False
    no_cool_down: bool = False
    unanswered_registration_is_repeated: bool = False
    loads_not_reconciled: bool = False
    missing_record_is_death: bool = False


class Conditions:
    """The network and the chances under which everything runs."""

    def __init__(self, clock: Clock, random: Random, faults: Faults, omitted: OmittedRules) -> None:
        self.random = random
        self.faults = faults
        self.omitted = omitted
        self.stalled_until = 0.0
        """Redis answers nothing until then."""
        self._clock = clock

    def delay(self) -> float:
        """Return how long the next message is under way."""
        chance = self.random.random()
        wait = max(0.0, self.stalled_until - self._clock.now)
        if chance < self.faults.late:
            return wait + self.random.uniform(0.2, 2.5)
        return wait + self.random.uniform(0.0005, 0.01)

    def loses_message(self) -> bool:
        """Return whether the next message is lost."""
        return self.random.random() < self.faults.lose

    def copies(self) -> int:
        """Return how often the next message arrives."""
        return 2 if self.random.random() < self.faults.doubled else 1
