"""How much of a queue's room each user gets: weighted fair shares in turn."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(slots=True, frozen=True)
class Turn:
    """The user who was served last, and how much of its share it has got in this round."""

    user: int = 0
    used: int = 0


def shares(
    users: Sequence[int], weights: Mapping[int, int], room: int, turn: Turn
) -> tuple[list[tuple[int, int]], Turn]:
    """Return ((user, how many tasks at most), in the order in which they are served; the turn).

    ``users`` are sorted; one without a weight has weight 1. Whatever the others have
    waiting, each gets by its weight. When there is less room than one round needs, the
    next call goes on where this one has ended, in the midst of a user's share if need be.
    """
    if not users or room <= 0:
        return [], turn
    goes_on = turn.user in users and turn.used < weights.get(turn.user, 1)
    begin = bisect_left(users, turn.user) if goes_on else bisect_right(users, turn.user)
    order = [*users[begin:], *users[:begin]]
    one_round = sum(weights.get(it, 1) for it in users)
    if room >= one_round:
        rounds = room // one_round
        return [(it, rounds * weights.get(it, 1)) for it in order], turn
    found = []
    used = turn.used if goes_on else 0
    for user in order:
        most = min(weights.get(user, 1) - used, room)
        found.append((user, most))
        turn = Turn(user, used + most)
        room, used = room - most, 0
        if not room:
            break
    return found, turn
