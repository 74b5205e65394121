"""Rebalances the nodes: decides from time to time which sessions move."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import structlog

from afx.cluster.leadership import Leadership
from afx.cluster.worker_records import WorkerView
from afx.config import Settings
from afx.coordinator.capacity import Capacity, rebalance_plan
from afx.coordinator.fencing import fenced_transaction
from afx.coordinator.interval import Interval
from afx.coordinator.placement_schedule import PlacementSchedule
from models.storage import placing

log = structlog.get_logger()


class Rebalancer:
    """The rebalancing of one term; a setting of 0 seconds disables it."""

    def __init__(
        self,
        settings: Settings,
        leadership: Leadership,
        capacity: Capacity,
        schedule: PlacementSchedule,
        *,
        now: float,
    ) -> None:
        self._leadership = leadership
        self._capacity = capacity
        self._schedule = schedule
        self._rest = timedelta(minutes=settings.preemption_rest_minutes)
        seconds = settings.rebalance_seconds
        self._interval = Interval(seconds, first=now + seconds) if seconds else None

    def due_moves(self, nodes: Sequence[WorkerView], now: float) -> dict[int, str]:
        """Return the moves (session → node) that are due now.

        There are none while nodes drain or have just died.
        """
        if self._interval is None or not self._interval.is_due(now):
            return {}
        is_changing = any(it.state in ("draining", "replacing", "stopping") for it in nodes)
        if is_changing or self._schedule.has_ended_sessions():
            return {}
        moves = rebalance_plan(nodes, self._rest, self._capacity)
        if not moves:
            return {}
        with fenced_transaction(self._leadership):
            placing.note_moved([it.session for it in moves])
        log.info("rebalancing", sessions=len(moves))
        return {it.session: it.target for it in moves}
