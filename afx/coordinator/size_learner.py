"""Learns from time to time what a session of each class needs, some nodes in each tick."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from afx.cluster.worker_records import LIVE_STATES, WorkerView
from afx.coordinator.capacity import Capacity
from afx.coordinator.decisions.session_size import Class
from afx.coordinator.interval import Interval
from models.storage import placing

_LEARN_SECONDS = 60.0
_SESSIONS_PER_TICK = 2_000


class SizeLearner:
    """Counts the sessions of the nodes by class, and fits the sizes when all are counted."""

    def __init__(self, capacity: Capacity) -> None:
        self._capacity = capacity
        self._interval = Interval(_LEARN_SECONDS)
        self._uncounted: list[str] = []
        self._counts: dict[str, Mapping[Class, int]] = {}

    def step(self, nodes: Sequence[WorkerView], now: float) -> None:
        """Count on; begins again when it is due."""
        self._capacity.note_nodes(nodes)
        if self._interval.is_due(now):
            self._counts = {}
            self._uncounted = [it.name for it in nodes if it.state in LIVE_STATES]
        if not self._uncounted:
            return
        assigned = {it.name: it.assigned for it in nodes}
        part: list[str] = []
        budget = _SESSIONS_PER_TICK
        while self._uncounted and budget > 0:
            part.append(self._uncounted.pop())
            budget -= 1 + assigned.get(part[-1], 0)
        self._counts |= placing.class_counts(part)
        if not self._uncounted:
            self._capacity.learn(nodes, self._counts)
