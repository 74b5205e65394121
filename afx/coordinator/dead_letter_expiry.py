"""Deletes dead letters that nobody has retried or dropped for long, and says so."""

from __future__ import annotations

from datetime import timedelta

import redis
import structlog

from afx.cluster import events
from afx.cluster.leadership import Leadership
from afx.coordinator.fencing import fenced_transaction
from afx.coordinator.interval import Interval
from models.base import utc_now
from models.storage import audit, dead_letters

ACTION = "rule.dead.expire"
_ACTOR = "coordinator"
_SECONDS = 600.0
_AT_ONCE = 1_000
"""Rows: most have a few messages, none more than 256."""
_LISTED = 100

log = structlog.get_logger()


class DeadLetterExpiry:
    """The deletions of one term of leadership."""

    def __init__(
        self, client: redis.Redis, leadership: Leadership, audit_key: bytes, *, days: float
    ) -> None:
        """``days`` is how long a dead letter is kept, since its row got the last one."""
        self._redis = client
        self._leadership = leadership
        self._audit_key = audit_key
        self._age = timedelta(days=days)
        self._interval = Interval(_SECONDS)

    def step(self, now: float) -> None:
        """Delete some that are too old, when it is due; the rest later."""
        if not self._interval.is_due(now):
            return
        before = utc_now() - self._age
        if not dead_letters.has_older(before):
            return
        with fenced_transaction(self._leadership):
            # What writes to the audit log has its lock before those of other rows.
            audit.lock_head()
            gone = dead_letters.expire(before, _AT_ONCE)
            messages = sum(gone.values())
            rules = [{"rule": it, "messages": count} for it, count in gone.items()]
            details = {"messages": messages, "rules": rules[:_LISTED]}
            audit.append(_ACTOR, ACTION, "rule", details, self._audit_key)
        log.warning("dead_letters_expired", messages=messages, rules=len(gone))
        events.announce(self._redis, "dead_letters_expired", messages=messages, rules=len(gone))
