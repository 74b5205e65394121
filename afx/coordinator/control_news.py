"""Announces that controls have come further, to people who look at them."""

from __future__ import annotations

import redis

from afx.cluster import events

_AT_ONCE = 5.0
"""Announcements that follow each other at once: who has clicked waits for none."""


class ControlNews:
    """Announces at once, and one a second while much changes.

    Other events would leave their stream early otherwise: it is bounded.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self._changed = 0
        """Controls that have changed since the last announcement."""
        self._due = _AT_ONCE
        """Announcements that may follow at once."""
        self._seen_at: float | None = None

    def step(self, changed: int, now: float) -> None:
        """Announce what is due; ``changed`` controls have changed just now.

        ``now`` is in monotonic seconds.
        """
        passed = 0.0 if self._seen_at is None else now - self._seen_at
        self._seen_at = now
        self._due = min(_AT_ONCE, self._due + passed)
        self._changed += changed
        if self._changed and self._due >= 1.0:
            events.announce(self._redis, "controls", changed=self._changed)
            self._due -= 1.0
            self._changed = 0
