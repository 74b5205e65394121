"""How many tasks of each priority a node may take: pure arithmetic."""

from __future__ import annotations

from collections.abc import Sequence

_SHARES = (1.0, 0.9, 0.8, 0.6)
"""The share of the slots up to which tasks of a priority are taken: the rest is for those
above, which find room at once."""
_ASSURED = 20
"""One slot of so many is for each priority, whatever the others have: none starves."""


def room_by_priority(slots: int, running: Sequence[int]) -> tuple[int, list[int]]:
    """Return (how many tasks to take in all, how many of each priority at most).

    ``running`` is how many of each priority run.
    """
    total = sum(running)
    free = max(0, slots - total)
    assured = max(1, slots // _ASSURED)
    owed = [max(0, assured - it) for it in running]
    most = []
    for priority, share in enumerate(_SHARES):
        by_share = int(slots * share) - total
        below = sum(owed[priority + 1 :])
        most.append(max(0, min(free - below, max(by_share, owed[priority]))))
    return free, most
