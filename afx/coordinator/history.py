"""What the coordinator writes for people who look later, and keeps within bounds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import redis

from afx.cluster import keys
from afx.cluster.registry import LIVE_STATES, WorkerView
from afx.cluster.writes import write
from afx.config import Settings
from models.base import transaction
from models.storage import analytics, audit, cluster, retention, workers
from models.storage.analytics import Retention, Sample
from models.storage.retention import Kept
from models.storage.workers import Seen


class History:
    """Samples of the nodes' metrics, rolled up and pruned a little at a time."""

    def __init__(self, settings: Settings, client: redis.Redis) -> None:
        self._redis = client
        self._every = settings.sample_seconds
        self._kept = Kept(
            Retention(
                timedelta(hours=settings.analytics_raw_hours),
                timedelta(days=settings.analytics_minute_days),
                timedelta(days=settings.analytics_hour_days),
            ),
            timedelta(days=settings.history_days),
        )
        self._forwarded = workers.forwarded()
        self._known = frozenset(self._forwarded)
        self._next = 0.0

    def write(self, nodes: Sequence[WorkerView], term: int, now: float) -> None:
        """Write a sample when one is due, or when a node has appeared."""
        incarnations = frozenset(it.incarnation for it in nodes)
        if now < self._next and incarnations <= self._known:
            return
        self._known = incarnations
        due = now >= self._next
        with transaction():
            cluster.hold(term)
            workers.seen_many(
                Seen(it.name, it.incarnation, it.hostname, it.state, it.metrics.forwarded)
                for it in nodes
            )
            if due:
                analytics.sample_many([self._sample(it) for it in nodes if it.state in LIVE_STATES])
        if due:
            self._next = now + self._every
            self._forwarded = {it.incarnation: it.metrics.forwarded for it in nodes}
            retention.maintain(self._kept)
            # Where nobody who edits the database can reach it.
            entries, digest = audit.head()
            write(self._redis, {keys.AUDIT_HEAD: f"{entries}:{digest}"}, term)

    def _sample(self, node: WorkerView) -> Sample:
        held = node.metrics
        before = self._forwarded.get(node.incarnation, 0)
        return Sample(
            node.name, held.rss, held.cpu, held.sessions, max(0, held.forwarded - before), held.load
        )
