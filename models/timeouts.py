"""How long a process waits for its database."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, frozen=True)
class Timeouts:
    """Bounds in seconds; SQLite knows only that of locks."""

    connect: float
    """For opening a connection."""
    statement: float
    """For one statement, and for a transaction that stands still."""
    lock: float
    """For a lock that another transaction has."""

    @classmethod
    def within(cls, seconds: float) -> Timeouts:
        """Return the bounds of a leader whose tick may take so long.

        One statement that fails for lack of time must not cost the leadership.
        """
        return cls(connect=seconds / 4, statement=seconds / 2, lock=seconds / 4)


FOR_COMMANDS = Timeouts(connect=10.0, statement=300.0, lock=10.0)
"""For what a person started, who can interrupt it."""
