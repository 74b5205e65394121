"""Counters that rise by steps: a jump is refused and reported, never adopted.

Terms are below 2^53, generations below 2^21 (see ``epochs.py``): a counter that was set
high by mistake, or by another writer of Redis, would leave none above it. Terms are checked
where they begin, in ``lua/lead.lua``, epochs also in ``lua/spoiled.lua``; generations need a
proof (``counters_in_redis.py``).
"""

from __future__ import annotations

from afx.coordinator.decisions.epochs import COUNTER_BITS, EPOCH_MAX

GENERATION_JUMP = 2**14
"""How far a node may be ahead of a database that was restored from a backup."""


def epoch_limit(epoch: int) -> int:
    """Return the first epoch that is not credible for one who knows of this one."""
    return min(epoch + (GENERATION_JUMP << COUNTER_BITS), EPOCH_MAX) + 1
