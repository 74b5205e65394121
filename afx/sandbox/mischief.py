"""What Telegram may do to a client at any time, by chance and by a seed.

Each share is the probability of one such event, from 0 to 1. Sources: api/updates
(pushes out of order, gaps, too long), mtproto/service_messages (sessions that the server
forgets) and api/invoking (parallel requests).
"""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar

Item = TypeVar("Item")


@dataclass(slots=True, frozen=True)
class Mischief:
    """The shares of each kind of mischief; all are 0 unless they are asked for."""

    seed: int = 0
    omitted: float = 0.0
    """Of pushes that are never sent."""
    doubled: float = 0.0
    """Of pushes that are sent twice."""
    late: float = 0.0
    """Of pushes that come later, after others."""
    late_seconds: float = 0.3
    """How late they come at most."""
    too_long: float = 0.0
    """Of pushes in whose place updatesTooLong or updateChannelTooLong is sent."""
    short: float = 0.0
    """Of pushes to channels that name neither users nor chats (updateShort)."""
    combined: float = 0.0
    """Of pushes that are numbered by seq (updatesCombined)."""
    empty: float = 0.0
    """Of pushes that are followed by an update with pts_count 0."""
    lost_answers: float = 0.0
    """Of requests that are executed, and never answered."""
    failed_answers: float = 0.0
    """Of requests that are executed, and answered with an error 500."""
    lost_sessions: float = 0.0
    """Of requests after which the server forgets the MTProto session."""
    lagging: float = 0.0
    """Of differences that come from a replica that lags behind."""
    lag_events: int = 5
    """How many of the newest events such a replica does not have at most."""
    shuffled: float = 0.0
    """Of containers whose requests are executed in another order."""

    @property
    def is_active(self) -> bool:
        """Whether there is any mischief at all."""
        kinds = (it.name for it in fields(self))
        settings = {"seed", "late_seconds", "lag_events"}
        return any(getattr(self, it) for it in kinds if it not in settings)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


class Dice:
    """Decides by chance; the same seed makes the same decisions in the same order."""

    __slots__ = ("_random", "active", "mischief")

    def __init__(self, mischief: Mischief) -> None:
        self.mischief = mischief
        self.active = mischief.is_active
        self._random = random.Random(mischief.seed)

    def hits(self, share: float) -> bool:
        """Return whether an event of this probability happens."""
        return share > 0 and self._random.random() < share

    def late_by(self) -> float:
        """Return how many seconds a late push is late."""
        return self._random.uniform(0.01, self.mischief.late_seconds)

    def lag(self) -> int:
        """Return how many of the newest events the next difference does not have."""
        if not self.active or not self.hits(self.mischief.lagging):
            return 0
        return self._random.randint(1, max(1, self.mischief.lag_events))

    def shuffle(self, items: list[Item]) -> None:
        """Change the order of some parallel requests, or leave it."""
        if self.active and len(items) > 1 and self.hits(self.mischief.shuffled):
            self._random.shuffle(items)
