"""Preempts free users' sessions where a premium one is unschedulable otherwise."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import timedelta

import structlog

from afx.cluster.leadership import Leadership
from afx.config import Settings
from afx.coordinator.assignments import AssignmentTable
from afx.coordinator.capacity import Capacity
from afx.coordinator.decisions import preemption
from afx.coordinator.decisions.placement import Node, PlacementRequest
from afx.coordinator.decisions.preemption import Victim
from afx.coordinator.fencing import fenced_transaction
from models.storage import placing

_VICTIMS_PER_SESSION = 10
_NODES_AT_ONCE = 10
_MINUTE = 60.0

log = structlog.get_logger()


class Preemptor:
    """The preemptions of one term, within their limits.

    So many a minute in all, and each session not again within its rest period.
    """

    def __init__(
        self,
        settings: Settings,
        leadership: Leadership,
        table: AssignmentTable,
        capacity: Capacity,
    ) -> None:
        self._leadership = leadership
        self._table = table
        self._capacity = capacity
        self._per_minute = settings.preemptions_per_minute
        self._rest = timedelta(minutes=settings.preemption_rest_minutes)
        self._preempted_at: deque[float] = deque()
        self._first_node = 0
        """Where the next choice begins in the list of suitable nodes."""

    def make_room(
        self, requests: Sequence[PlacementRequest], ready: Sequence[Node], now: float
    ) -> int:
        """Stop free sessions so that premium ones fit; returns how many."""
        left = self._left(now)
        if not requests or not ready or left <= 0 or self._table.has_stopping():
            return 0
        victims = self._victims(self._next_nodes(requests, ready))
        chosen: list[Victim] = []
        for request in requests:
            most = min(_VICTIMS_PER_SESSION, left - len(chosen))
            found = preemption.choose(request, ready, victims.values(), most)
            chosen += found
            for it in found:
                del victims[it.session]
        if chosen:
            self._preempt([it.session for it in chosen], now)
        return len(chosen)

    def _left(self, now: float) -> int:
        while self._preempted_at and now - self._preempted_at[0] > _MINUTE:
            self._preempted_at.popleft()
        return self._per_minute - len(self._preempted_at)

    def _next_nodes(self, requests: Sequence[PlacementRequest], ready: Sequence[Node]) -> list[str]:
        """Return some of the nodes that would do; other ones the next time."""
        suitable = sorted(
            it.name for it in ready if any(one.requires <= it.labels for one in requests)
        )
        begin = self._first_node if self._first_node < len(suitable) else 0
        self._first_node = begin + _NODES_AT_ONCE
        return suitable[begin : self._first_node]

    def _victims(self, nodes: Sequence[str]) -> dict[int, Victim]:
        return {
            it.session: Victim(
                it.session, it.incarnation, self._capacity.cost(False, it.active), it.idle
            )
            for it in placing.running(self._rest, "free", workers=nodes)
            if it.rested and it.session in self._table.active
        }

    def _preempt(self, sessions: Sequence[int], now: float) -> None:
        with fenced_transaction(self._leadership):
            placing.note_moved(sessions)
        for it in sessions:
            log.info("preempted", session=it, node=self._table.active[it].worker)
        self._table.stop(sessions, now)
        self._preempted_at.extend([now] * len(sessions))
