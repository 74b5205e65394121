"""How much of a queue's room each user gets: fair shares in turn."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence


def in_turn(users: Sequence[int], last: int) -> list[int]:
    """Return users, who are sorted, beginning after the one who was served last."""
    begin = bisect_right(users, last)
    return [*users[begin:], *users[:begin]]


def shares(users: Sequence[int], room: int) -> list[tuple[int, int]]:
    """Return (user, how many tasks at most), in the order in which they are served.

    Whatever the others have waiting, each gets the same; when there is less room than
    users, the first ones get one each, and the others are served first the next time.
    """
    if not users or room <= 0:
        return []
    each = max(1, room // len(users))
    served = users[: max(1, room // each)]
    return [(it, each) for it in served]
