"""Frees the sessions of dead nodes, and forgets the nodes after a while."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import redis
import structlog

from afx.cluster import events
from afx.cluster.registry import Registry
from afx.cluster.worker_records import WorkerView
from afx.coordinator.assignments import AssignmentTable
from afx.coordinator.capacity import Capacity
from afx.coordinator.decisions.liveness import DeathReason
from afx.coordinator.failure_detector import FailureDetector
from afx.coordinator.loss_brake import LossBrake
from afx.coordinator.rq_cleanup import RqCleanup
from afx.coordinator.unknown_sessions import UnknownSessions
from models.storage.webhooks import Event
from models.webhook_tables import EventKind

_FORGET_SECONDS = 60.0
_FREED_PER_TICK = 500

log = structlog.get_logger()


class DeadNodes:
    """The nodes that one leader has declared dead."""

    def __init__(
        self,
        *,
        client: redis.Redis,
        registry: Registry,
        detector: FailureDetector,
        table: AssignmentTable,
        capacity: Capacity,
        brake: LossBrake,
        rq_cleanup: RqCleanup,
        unknown: UnknownSessions,
        term: int,
        note_event: Callable[[Event], None],
    ) -> None:
        """``note_event`` takes what webhooks are told."""
        self._redis = client
        self._note_event = note_event
        self._registry = registry
        self._detector = detector
        self._table = table
        self._capacity = capacity
        self._brake = brake
        self._rq_cleanup = rq_cleanup
        self._unknown = unknown
        self._term = term
        self._declared_at: dict[str, float] = {}
        """incarnation → when it was declared dead."""

    def find(self, nodes: Sequence[WorkerView], now: float) -> Mapping[str, DeathReason]:
        """Return the incarnations that are dead, and fence those that are silent.

        It needs Redis only, so it goes on while assignments are read, and while SQL is away.
        """
        owners = self._table.incarnations() | self._unknown.owners()
        return self._detector.find_dead(nodes, owners, now)

    def declare(
        self, dead: Mapping[str, DeathReason], nodes: Sequence[WorkerView], now: float
    ) -> None:
        """Announce each death once."""
        names = {it.incarnation: it.name for it in nodes}
        for incarnation, reason in dead.items():
            if incarnation not in self._declared_at:
                self._declared_at[incarnation] = now
                self._declare(names.get(incarnation, ""), incarnation, reason, now)

    def free_sessions(
        self, dead: Mapping[str, DeathReason], nodes: Sequence[WorkerView], now: float
    ) -> list[WorkerView]:
        """Free the sessions of the dead; returns the other nodes.

        When they have many, the rest is freed in the next ticks.
        """
        self.declare(dead, nodes, now)
        freed = [it for incarnation in dead for it in self._table.on(incarnation)]
        freed = freed[:_FREED_PER_TICK]
        if freed:
            self._table.end(freed, "its node is down", now)
        self._unknown.free(dead, now)
        self._forget_old(nodes, now)
        # A name that has registered again has taken its earlier incarnation's record.
        listed = {it.incarnation for it in nodes} | dead.keys()
        self._declared_at = {it: at for it, at in self._declared_at.items() if it in listed}
        alive = [it for it in nodes if it.incarnation not in dead]
        self._rq_cleanup.step(alive, now)
        return alive

    def _declare(self, name: str, incarnation: str, reason: DeathReason, now: float) -> None:
        if reason.is_failure and self._detector.has_beaten(incarnation):
            self._brake.note_lost(incarnation, now)
            self._capacity.note_death(name, now)
        count = len(self._table.on(incarnation))
        write = log.info if reason is DeathReason.LEFT else log.warning
        write("node_down", node=name, reason=reason, sessions=count)
        events.announce(
            self._redis,
            "node_down",
            node=name,
            incarnation=incarnation,
            reason=reason,
            sessions=count,
        )
        if reason.is_failure:
            # A leader that comes next finds the same death.
            details = {"worker": name, "reason": str(reason), "sessions": count}
            key = f"{EventKind.WORKER_LOST} {incarnation}"
            event = Event(EventKind.WORKER_LOST, f"worker/{name}", None, details, key)
            self._note_event(event)

    def _forget_old(self, nodes: Sequence[WorkerView], now: float) -> None:
        for it in nodes:
            declared_at = self._declared_at.get(it.incarnation)
            if declared_at is not None and now - declared_at > _FORGET_SECONDS:
                self._registry.forget(it.name, self._term)
                del self._declared_at[it.incarnation]
