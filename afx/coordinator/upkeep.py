"""What the leader does now and then: learns sizes, evens nodes out, makes room.

The choices are pure functions (``classes``, ``rebalance``, ``preemption``); here
is what they are told, and what follows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import timedelta

import structlog

from afx.cluster.leadership import Leader
from afx.cluster.registry import LIVE_STATES, WorkerView
from afx.config import Settings
from afx.coordinator.assignments import AssignmentTable
from afx.coordinator.capacity import Capacity
from afx.coordinator.decisions import placement, preemption, rebalance
from afx.coordinator.decisions.preemption import Victim
from afx.coordinator.decisions.rebalance import Movable, Move, NodeLoad
from models.base import transaction, utc_now
from models.storage import assignments, cluster, placing
from models.storage.placing import Running, labels_of

_LEARN_SECONDS = 60.0
_VICTIMS_MOST = 10
_MINUTE = 60.0

log = structlog.get_logger()


class Upkeep:
    """One leader's housekeeping."""

    def __init__(
        self, settings: Settings, leader: Leader, table: AssignmentTable, capacity: Capacity
    ) -> None:
        self._settings = settings
        self._leader = leader
        self._table = table
        self._capacity = capacity
        self._rest = timedelta(minutes=settings.preemption_rest_minutes)
        self._next_learn = 0.0
        self._next_even = 0.0
        self._preempted: deque[float] = deque()

    def learn(self, nodes: Sequence[WorkerView], now: float) -> None:
        """Learn from time to time what sessions of each class cost."""
        self._capacity.note_nodes(nodes)
        if now >= self._next_learn:
            self._next_learn = now + _LEARN_SECONDS
            self._capacity.learn(nodes, placing.running(self._rest))

    def even_out(self, nodes: Sequence[WorkerView], now: float) -> dict[int, str]:
        """Return the moves (session → node) that even the nodes out, if they are due.

        None while nodes drain or have just died: the cluster is not at rest.
        """
        every = self._settings.rebalance_seconds
        if not every or now < self._next_even:
            return {}
        first = self._next_even == 0.0
        self._next_even = now + every
        busy = any(it.state in ("draining", "stopping") for it in nodes) or self._table.freed
        if first or busy:
            return {}
        running = placing.running(self._rest)
        shifts = rebalance_plan(nodes, running, self._capacity)
        if not shifts:
            return {}
        self._leader.check()
        with transaction():
            cluster.hold(self._leader.term)
            placing.note_moved([it.session for it in shifts])
        log.info("rebalancing", sessions=len(shifts))
        return {it.session: it.target for it in shifts}

    def make_room(
        self,
        wishes: Sequence[placement.PlacementRequest],
        ready: Sequence[placement.Node],
        now: float,
    ) -> int:
        """Ask free sessions to give way to premium ones; returns how many.

        Within its limits: so many a minute, and each one seldom.
        """
        while self._preempted and now - self._preempted[0] > _MINUTE:
            self._preempted.popleft()
        left = self._settings.preemptions_per_minute - len(self._preempted)
        if not wishes or not ready or left <= 0:
            return 0
        active = self._table.active
        if any(it.state == "stopping" for it in active.values()):
            return 0  # room is about to appear
        victims = {
            it.session: Victim(
                it.session, it.incarnation, self._capacity.cost(False, it.active), it.idle
            )
            for it in placing.running(self._rest, "free")
            if it.rested and it.session in active
        }
        chosen: list[Victim] = []
        for wish in wishes:
            found = preemption.choose(
                wish, ready, victims.values(), min(_VICTIMS_MOST, left - len(chosen))
            )
            chosen += found
            for it in found:
                del victims[it.session]
        if chosen:
            self._stop([it.session for it in chosen], now)
            self._preempted.extend([now] * len(chosen))
        return len(chosen)

    def _stop(self, sessions: Sequence[int], now: float) -> None:
        gone = [self._table.active[it] for it in sessions]
        self._leader.check()
        with transaction():
            cluster.hold(self._leader.term)
            placing.note_moved(sessions)
            assignments.mark_stopping([(it.session, it.epoch) for it in gone])
        for it in gone:
            self._table.set_state(it.session, "stopping")
            log.info("preempted", session=it.session, node=it.worker)
        self._table.send("stop", gone, now)


def rebalance_plan(
    nodes: Sequence[WorkerView], running: Sequence[Running], capacity: Capacity
) -> list[Move]:
    """Return the moves that would even the nodes out now."""
    homes = {it.incarnation for it in nodes if it.state in LIVE_STATES}
    movable = [
        Movable(
            it.session, it.incarnation, capacity.cost(it.tier == "premium", it.active), it.requires
        )
        for it in running
        if it.rested and it.incarnation in homes
    ]
    lately = placing.moved_since(utc_now() - timedelta(hours=1))
    return rebalance.plan(carriers(nodes), movable, rebalance.budget(len(running), lately))


def carriers(nodes: Sequence[WorkerView]) -> list[NodeLoad]:
    """Return the ready nodes and what they carry."""
    return [
        NodeLoad(
            it.name,
            it.incarnation,
            it.metrics.rss + it.reserved,
            it.metrics.rss + it.reserved + max(0, it.metrics.ram_free),
            it.assigned,
            it.max_sessions,
            labels_of(it.labels),
        )
        for it in nodes
        if it.state == "ready"
    ]
