"""When a process that ended is started again, and when to give up: a pure decision."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, frozen=True)
class Restart:
    """Start the process again after a delay."""

    delay_seconds: float
    early_ends: int
    """Ends in a row, each soon after a start; the next decision needs the count."""


@dataclass(slots=True, frozen=True)
class GiveUp:
    """Do not start the process again: it keeps ending."""

    early_ends: int


@dataclass(slots=True, frozen=True)
class RestartPolicy:
    """Exponential back-off for a process that keeps ending soon after its start.

    A process that ran for ``stable_seconds`` starts with a clean record.
    """

    first_delay_seconds: float = 0.5
    longest_delay_seconds: float = 30.0
    stable_seconds: float = 60.0
    most_early_ends: int = 5
    """At the last of so many early ends in a row, the process is given up."""

    def decide(self, early_ends: int, ran_seconds: float) -> Restart | GiveUp:
        """Return what to do with a process that ended.

        ``early_ends`` is the count of the decision before (0 at first), and
        ``ran_seconds`` is the time from the start of the process to its end.
        """
        if ran_seconds >= self.stable_seconds:
            return Restart(self.first_delay_seconds, 0)
        count = early_ends + 1
        if count >= self.most_early_ends:
            return GiveUp(count)
        delay = self.first_delay_seconds * 2 ** (count - 1)
        return Restart(min(delay, self.longest_delay_seconds), count)
