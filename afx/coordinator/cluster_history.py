"""Metrics of the whole cluster: sampled often, stored once a minute."""

from __future__ import annotations

from collections.abc import Sequence

from afx.cluster.leadership import Leadership
from afx.cluster.worker_records import LIVE_STATES, WorkerView
from afx.config import Settings
from afx.coordinator.fencing import fenced_transaction
from afx.coordinator.interval import Interval
from afx.coordinator.wire import Headroom
from models.base import utc_now
from models.storage import cluster_analytics, queue, scaling
from models.storage.cluster_analytics import MINUTE, Moment


class ClusterHistory:
    """The minutes of one term; a new leader begins with the next one."""

    def __init__(self, settings: Settings, leadership: Leadership, *, now: float) -> None:
        self._leadership = leadership
        self._headroom = Headroom.from_settings(settings)
        self._samples = Interval(min(settings.sample_seconds, MINUTE))
        self._minutes = Interval(MINUTE, first=now + MINUTE)
        self._moments: list[Moment] = []
        self._since = utc_now()
        self._forwarded: dict[str, int] = {}

    def step(self, nodes: Sequence[WorkerView], now: float) -> None:
        """Take a sample, and store a minute, when they are due."""
        if self._samples.is_due(now):
            self._moments.append(self._moment(nodes))
        if self._minutes.is_due(now) and self._moments:
            at = utc_now()
            last = scaling.latest()
            with fenced_transaction(self._leadership):
                cluster_analytics.record(
                    self._moments,
                    since=self._since,
                    at=at,
                    desired=int(last["desired"]) if last else 0,
                )
            self._moments, self._since = [], at

    def _moment(self, nodes: Sequence[WorkerView]) -> Moment:
        live = [it for it in nodes if it.state in LIVE_STATES]
        ready = [it for it in live if it.state == "ready"]
        counts = {it.incarnation: it.metrics.forwarded for it in live}
        forwarded = sum(
            max(0, count - self._forwarded.get(it, count)) for it, count in counts.items()
        )
        self._forwarded = counts
        return Moment(
            nodes=len(ready),
            sessions=sum(it.metrics.sessions for it in live),
            sessions_limit=sum(it.max_sessions for it in ready),
            ram_used=sum(it.metrics.rss for it in live),
            ram_limit=sum(it.metrics.rss + self._free(it) for it in ready),
            cpu=sum(it.metrics.cpu for it in live) / len(live) if live else 0.0,
            waiting=queue.count(),
            forwarded=forwarded,
        )

    def _free(self, node: WorkerView) -> int:
        return max(0, node.metrics.ram_free - self._headroom.of(node))
