"""Which webhooks are sent to next: fair shares of the requests at once, as a pure function.

A receiver may take the whole time that a request has. So no webhook, no user and no side
(the users together, or the operator) may have all requests under way; and users whose receivers
are slow have a part of the users' requests together, however many of them there are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

AT_ONCE = 16
"""Requests under way."""
OF_SIDE = 12
"""Of them those to webhooks of users, or those to webhooks of the operator."""
OF_OWNER = 4
"""Of them those to webhooks of one user."""
OF_WEBHOOK = 2
OF_SLOW = 4
"""Of those to webhooks of users, those to users with a slow receiver."""
OF_SLOW_OWNER = 2
"""Of them those to one such user."""


@dataclass(slots=True, frozen=True)
class Place:
    """A webhook and its owner: a user's name; None is the operator."""

    webhook_id: int
    owner: str | None


def next_ones(
    due: Mapping[Place, int],
    under_way: Iterable[Place],
    turns: Mapping[Place, int],
    slow: Collection[str] = (),
) -> list[Place]:
    """Return the webhooks that get a request now, one with several as often.

    ``due`` says how many deliveries of each have come to their time, ``turns`` when each
    was last served, as a number that grows, ``slow`` which users have a slow receiver. The
    owner with the fewest requests under way is next, then the one that was served the longest
    time ago; likewise its webhooks.
    """
    shares = _Shares(Counter(under_way), dict(turns), frozenset(slow))
    left = dict(due)
    chosen: list[Place] = []
    while open_ones := [it for it, count in left.items() if count > 0 and shares.has_room(it)]:
        best = min(open_ones, key=shares.rank)
        shares.take(best)
        left[best] -= 1
        chosen.append(best)
    return chosen


class _Shares:
    """How many requests each webhook, owner and side has, and when it last got one."""

    def __init__(self, busy: Counter[Place], turns: dict[Place, int], slow: frozenset[str]) -> None:
        self._busy = busy
        self._slow = slow
        self._of_owner: Counter[str | None] = Counter()
        self._of_users = 0
        for place, count in busy.items():
            self._of_owner[place.owner] += count
            self._of_users += count if place.owner is not None else 0
        self._turns = turns
        self._owner_turns: dict[str | None, int] = {}
        for place, turn in turns.items():
            self._owner_turns[place.owner] = max(turn, self._owner_turns.get(place.owner, 0))

    def has_room(self, place: Place) -> bool:
        """Return whether a webhook may have one more request under way."""
        if self._busy.total() >= AT_ONCE or self._busy[place] >= OF_WEBHOOK:
            return False
        if place.owner is None:
            return self._of_owner[None] < OF_SIDE
        if place.owner in self._slow:
            of_slow = sum(self._of_owner[it] for it in self._slow)
            if of_slow >= OF_SLOW or self._of_owner[place.owner] >= OF_SLOW_OWNER:
                return False
        return self._of_users < OF_SIDE and self._of_owner[place.owner] < OF_OWNER

    def rank(self, place: Place) -> tuple[int, int, int, int, int]:
        """Return by what a webhook is chosen: the lowest is next."""
        return (
            self._of_owner[place.owner],
            self._owner_turns.get(place.owner, 0),
            self._busy[place],
            self._turns.get(place, 0),
            place.webhook_id,
        )

    def take(self, place: Place) -> None:
        """Count one more request."""
        turn = max(self._turns.values(), default=0) + 1
        self._turns[place] = self._owner_turns[place.owner] = turn
        self._busy[place] += 1
        self._of_owner[place.owner] += 1
        self._of_users += place.owner is not None
