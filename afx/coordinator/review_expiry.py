"""Rejects messages that no operator has approved in time, and says so."""

from __future__ import annotations

import redis
import structlog

from afx.cluster import events
from afx.cluster.leadership import Leadership
from afx.coordinator.fencing import fenced_transaction
from afx.coordinator.interval import Interval
from models.base import utc_now
from models.storage import audit, held_messages

ACTION = "rule.review.expire"
_ACTOR = "coordinator"
_SECONDS = 30.0
_AT_ONCE = 1_000
_LISTED = 100

log = structlog.get_logger()


class ReviewExpiry:
    """The expiries of one term of leadership."""

    def __init__(self, client: redis.Redis, leadership: Leadership, audit_key: bytes) -> None:
        self._redis = client
        self._leadership = leadership
        self._audit_key = audit_key
        self._interval = Interval(_SECONDS)

    def step(self, now: float) -> None:
        """Reject some that have waited for too long, when it is due; the rest later."""
        if not self._interval.is_due(now):
            return
        wall = utc_now()
        if not held_messages.has_expired(wall):
            return
        with fenced_transaction(self._leadership):
            # What writes to the audit log has its lock before those of other rows.
            audit.lock_head()
            gone = held_messages.expire(wall, _AT_ONCE)
            messages = sum(gone.values())
            rules = [{"rule": it, "messages": count} for it, count in gone.items()]
            details = {"messages": messages, "rules": rules[:_LISTED]}
            audit.append(_ACTOR, ACTION, "rule", details, self._audit_key)
        log.warning("reviews_expired", messages=messages, rules=len(gone))
        events.announce(self._redis, "reviews_expired", messages=messages, rules=len(gone))
