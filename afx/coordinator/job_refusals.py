"""Jobs that nodes refused: an entry in the audit log, and an event, for each node and reason.

Who can write to Redis cannot flood the log: what is refused meanwhile is in the next entry
of the node and reason, an hour later at the earliest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import redis
import structlog

from afx.cluster import events, refused_jobs
from afx.cluster.leadership import Leadership
from afx.cluster.refused_jobs import RefusalReason
from afx.coordinator.fencing import fenced_transaction
from afx.coordinator.interval import Interval
from models.base import utc_now
from models.storage import audit

ACTION = "job.refused"
_ACTOR = "coordinator"
_SECONDS = 1.0
_QUIET_SECONDS = 3600.0
_MOST_READ = 100
"""Entries of a node that are looked through for the last one of each reason."""
log = structlog.get_logger()


@dataclass(slots=True, frozen=True)
class _Noted:
    """The newest entry of a node and reason."""

    total: int
    """How many there were by then."""
    at: float


class JobRefusals:
    """Notes refusals in one term of leadership; what earlier terms have noted is in SQL."""

    def __init__(self, client: redis.Redis, leadership: Leadership, audit_key: bytes) -> None:
        """``client`` must decode answers."""
        self._redis = client
        self._leadership = leadership
        self._audit_key = audit_key
        self._interval = Interval(_SECONDS)
        self._noted: dict[tuple[str, RefusalReason], _Noted] = {}
        self._read: set[str] = set()
        """The nodes whose entries have been read."""
        self._count = 0
        self._again_at = math.inf
        """When something that is not in the log yet may be written."""

    def step(self, nodes: Sequence[str], now: float) -> None:
        """Write what is new, when it is due; ``nodes`` are the names of all."""
        if not self._interval.is_due(now):
            return
        count = refused_jobs.count(self._redis)
        if count == self._count and now < self._again_at:
            return
        self._again_at = math.inf
        fresh = []
        for (node, reason), total in refused_jobs.counts(self._redis, nodes).items():
            noted = self._last(node, reason, now)
            # Redis may have been emptied since.
            before = noted.total if noted and noted.total <= total else 0
            if total == before:
                continue
            due_at = noted.at + _QUIET_SECONDS if noted else now
            if now < due_at:
                self._again_at = min(self._again_at, due_at)
            else:
                fresh.append((node, reason, total - before, total))
        if fresh:
            self._write(fresh, now)
        self._count = count

    def _write(self, fresh: Sequence[tuple[str, RefusalReason, int, int]], now: float) -> None:
        with fenced_transaction(self._leadership):
            for node, reason, count, total in fresh:
                details = {"reason": str(reason), "count": count, "total": total}
                audit.append(_ACTOR, ACTION, f"node/{node}", details, self._audit_key)
        for node, reason, count, total in fresh:
            self._noted[node, reason] = _Noted(total, now)
            log.error("jobs_refused", node=node, reason=reason, count=count)
            events.announce(self._redis, "jobs_refused", node=node, reason=str(reason), count=count)

    def _last(self, node: str, reason: RefusalReason, now: float) -> _Noted | None:
        """Return the newest entry of a node and reason, also of an earlier term."""
        if node not in self._read:
            self._read.add(node)
            page = audit.listing(action=ACTION, target=f"node/{node}", limit=_MOST_READ)
            for row in reversed(page.rows):
                self._take(node, row["details"], row["at"], now)
        return self._noted.get((node, reason))

    def _take(self, node: str, details: Any, at: datetime, now: float) -> None:
        reason, total = details.get("reason"), details.get("total")
        if reason in list(RefusalReason) and type(total) is int:
            age = max(0.0, (utc_now() - at).total_seconds())
            self._noted[node, RefusalReason(reason)] = _Noted(total, now - age)
