"""Epochs: numbers that only rise, so that an outdated order or owner is recognised."""

from __future__ import annotations

COUNTER_BITS = 32
EPOCH_MAX = 2**53 - 1
"""Lua's numbers are doubles, which are exact up to this one."""


class EpochCounter:
    """Hands out the epochs of one generation."""

    def __init__(self, generation: int) -> None:
        self._next = generation << COUNTER_BITS

    @property
    def newest(self) -> int:
        """The last epoch handed out; all of this generation are above those of earlier ones."""
        return self._next

    def take(self) -> int:
        """Return the next epoch; raises OverflowError past EPOCH_MAX."""
        self._next += 1
        if self._next > EPOCH_MAX:
            raise OverflowError("no epoch is left: the generation is above 2^21")
        return self._next
