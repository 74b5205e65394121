"""The history that the coordinator writes, and prunes by its retention."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from afx.cluster.leadership import Leadership
from afx.cluster.worker_records import LIVE_STATES, WorkerView
from afx.config import Settings
from afx.coordinator.fencing import fenced_transaction
from afx.coordinator.interval import Interval
from models.storage import analytics, retention, workers
from models.storage.analytics import Retention, Sample
from models.storage.retention import Kept
from models.storage.workers import Seen


class History:
    """Samples of the nodes' metrics, rolled up and pruned a little at a time."""

    def __init__(self, settings: Settings, leadership: Leadership) -> None:
        self._leadership = leadership
        self._interval = Interval(settings.sample_seconds)
        self._retention = Kept(
            Retention(
                timedelta(hours=settings.analytics_raw_hours),
                timedelta(days=settings.analytics_minute_days),
                timedelta(days=settings.analytics_hour_days),
            ),
            timedelta(days=settings.history_days),
        )
        self._forwarded = workers.forwarded()
        self._known = frozenset(self._forwarded)

    def write(self, nodes: Sequence[WorkerView], now: float) -> None:
        """Write a sample when one is due, and the nodes when a new one has appeared."""
        incarnations = frozenset(it.incarnation for it in nodes)
        is_due = self._interval.is_due(now)
        if not is_due and incarnations <= self._known:
            return
        self._known = incarnations
        with fenced_transaction(self._leadership):
            workers.seen_many(_seen(nodes))
            if is_due:
                analytics.sample_many([self._sample(it) for it in nodes if it.state in LIVE_STATES])
        if is_due:
            self._forwarded = {it.incarnation: it.metrics.forwarded for it in nodes}
            retention.maintain(self._retention)

    def _sample(self, node: WorkerView) -> Sample:
        metrics = node.metrics
        before = self._forwarded.get(node.incarnation, 0)
        return Sample(
            node.name,
            metrics.rss,
            metrics.cpu,
            metrics.sessions,
            max(0, metrics.forwarded - before),
            metrics.load,
        )


def _seen(nodes: Sequence[WorkerView]) -> list[Seen]:
    replaced = {it.incarnation: it.name for it in nodes if it.state in ("replacing", "recycling")}
    return [
        Seen(
            it.name,
            it.incarnation,
            it.hostname,
            it.state,
            it.metrics.forwarded,
            takes_over=replaced.get(it.replaces, ""),
        )
        for it in nodes
    ]
