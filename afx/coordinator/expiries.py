"""What a leader ends because nobody has done anything about it for long."""

from __future__ import annotations

import redis

from afx.cluster.leadership import Leadership
from afx.coordinator.dead_letter_expiry import DeadLetterExpiry
from afx.coordinator.review_expiry import ReviewExpiry


class Expiries:
    """The expiries of one term of leadership."""

    def __init__(
        self, client: redis.Redis, leadership: Leadership, audit_key: bytes, *, days: float
    ) -> None:
        """``days`` is how long a dead letter is kept."""
        self._dead_letters = DeadLetterExpiry(client, leadership, audit_key, days=days)
        self._reviews = ReviewExpiry(client, leadership, audit_key)

    def step(self, now: float) -> None:
        """End some of what is too old, where that is due."""
        self._dead_letters.step(now)
        self._reviews.step(now)
