"""Tells nodes which replays are over: their sessions send no more old messages for them.

A node ends what a session does for a replay when it cancels a run of that. One that is cancelled
or paused while it does not run, or fails as its node dies, leaves its session without being told.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from afx.cluster.task_jobs import REPLAY
from afx.coordinator.assignments import AssignmentTable
from afx.coordinator.interval import Interval
from afx.coordinator.orders import Orders
from models.storage import task_queue

_SECONDS = 1.0
_LOOKED_BACK = timedelta(days=1)
_PAGE = 500
_AGAIN_SECONDS = 30.0
"""Redis may lose an order: it is given twice to each life of a session."""


class EndedReplays:
    """What nodes were told of replays that are over."""

    def __init__(self, table: AssignmentTable, orders: Orders, now: Callable[[], datetime]) -> None:
        """``now`` is the wall clock."""
        self._table = table
        self._orders = orders
        self._now = now
        self._interval = Interval(_SECONDS)
        self._told: dict[tuple[int, int, int], tuple[float, bool]] = {}
        """(task, publication, epoch of its session) → when, and whether that was twice."""
        self._seen: dict[tuple[int, int, int], tuple[float, bool]] = {}
        """The same, of the pages that were looked at since the newest."""
        self._below = 0
        """The next page is of tasks with lower numbers; 0: the newest."""

    def step(self, now: float) -> None:
        """Tell what is new, when it is due; ``now`` is monotonic."""
        if not self._interval.is_due(now):
            return
        by_node: dict[tuple[str, str], list[tuple[int, int]]] = {}
        since = self._now() - _LOOKED_BACK
        found = task_queue.ended_of_kind(REPLAY, since, _PAGE, below=self._below)
        for task, publication, session in found:
            active = self._table.active.get(session)
            if active is None or active.state != "running":
                continue
            key = (task, publication, active.epoch)
            at, is_twice = self._told.get(key, (0.0, False))
            if key not in self._told or (not is_twice and now - at >= _AGAIN_SECONDS):
                node = (active.worker, active.incarnation)
                by_node.setdefault(node, []).append((task, publication))
                at, is_twice = now, key in self._told
            self._seen[key] = (at, is_twice)
        for (name, incarnation), tasks in by_node.items():
            self._orders.cancel_tasks(name, incarnation, tasks)
        self._below = found[-1][0] if len(found) == _PAGE else 0
        if not self._below:
            self._told, self._seen = self._seen, {}
