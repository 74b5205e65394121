"""Recommends how many nodes there should be: publishes it, and stores each change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime

import redis
import structlog

from afx.cluster import events, scaling_record
from afx.cluster.leadership import Leadership
from afx.cluster.scaling_record import MOST_NAMED, ResourceDemand, ScalingRecord
from afx.cluster.worker_records import LIVE_STATES, WorkerView
from afx.config import Settings
from afx.coordinator.capacity import Capacity
from afx.coordinator.decisions import scaling_text
from afx.coordinator.decisions.scale_in import by_node
from afx.coordinator.decisions.scaling import (
    Decision,
    Figures,
    Policy,
    Reason,
    Recommendation,
    State,
    decide,
)
from afx.coordinator.decisions.session_size import CLASSES
from afx.coordinator.fencing import fenced_transaction
from afx.coordinator.interval import Interval
from models.base import utc_now
from models.storage import queue, scaling, tasks

_LONGEST_INTERVAL = 5.0
_SHORTEST_INTERVAL = 0.5
_LEAST_TTL_SECONDS = 30.0
_TASK_SECONDS = 30.0
"""How often the oldest task is looked for: that reads all that wait."""

log = structlog.get_logger()


def policy(settings: Settings) -> Policy:
    """Return the limits that the settings name."""
    return Policy(
        min_nodes=settings.scale_min_nodes,
        max_nodes=settings.scale_max_nodes,
        spare_nodes=settings.scale_spare_nodes,
        step_nodes=settings.scale_step_nodes,
        overflow_seconds=settings.scale_overflow_seconds,
        window_seconds=settings.scale_in_minutes * 60,
    )


class Scaler:
    """The recommendations of one term.

    A new leader begins with the last one that SQL has, and recommends fewer nodes only
    after it has observed them for as long as that needs.
    """

    def __init__(
        self,
        settings: Settings,
        client: redis.Redis,
        leadership: Leadership,
        capacity: Capacity,
        *,
        now: float,
    ) -> None:
        self._redis = client
        self._leadership = leadership
        self._capacity = capacity
        self._policy = policy(settings)
        seconds = min(_LONGEST_INTERVAL, settings.scale_overflow_seconds / 3)
        seconds = max(_SHORTEST_INTERVAL, seconds)
        self._interval = Interval(seconds)
        self._task_interval = Interval(_TASK_SECONDS)
        self._oldest_task: datetime | None = None
        """Since when the oldest task that had not started has been ready to run."""
        self._ttl_seconds = max(_LEAST_TTL_SECONDS, 4 * seconds)
        last = scaling.latest()
        self._stored = (last["decision"], last["desired"]) if last else None
        self._state = State(now, last=_seed(int(last["desired"])) if last else None, changed_at=now)

    def step(
        self,
        nodes: Sequence[WorkerView],
        now: float,
        *,
        is_alive: Callable[[WorkerView, float], bool],
        is_held: bool,
    ) -> None:
        """Recommend when it is due; ``is_held``: the brake holds, so nobody knows what lives."""
        if not self._interval.is_due(now):
            return
        live = [it for it in nodes if it.state in LIVE_STATES]
        figures = self._figures(live, now, is_alive=is_alive, is_held=is_held)
        found, self._state = decide(self._policy, figures, self._state, now)
        record = self._record(found)
        scaling_record.publish(
            self._redis, record, term=self._leadership.term, ttl_seconds=self._ttl_seconds
        )
        if found.reason is not Reason.STALE:
            self._store(record)

    def _figures(
        self,
        live: Sequence[WorkerView],
        now: float,
        *,
        is_alive: Callable[[WorkerView, float], bool],
        is_held: bool,
    ) -> Figures:
        waiting = queue.count_without_room()
        size = max(self._capacity.cost(*it) for it in CLASSES)
        if self._task_interval.is_due(now):
            oldest = tasks.oldest_by_priority().values()
            self._oldest_task = min(oldest, default=None)
        age = (utc_now() - self._oldest_task).total_seconds() if self._oldest_task else 0.0
        return Figures(
            nodes=by_node(
                self._capacity.scaling_figures(it, is_fresh=is_alive(it, now)) for it in live
            ),
            overflow=waiting,
            overflow_bytes=waiting * size,
            oldest_task_seconds=max(0.0, age),
            is_reliable=not is_held,
        )

    def _record(self, found: Recommendation) -> ScalingRecord:
        return ScalingRecord(
            decision=str(found.decision),
            reason=str(found.reason),
            text=scaling_text.sentence(found, self._policy),
            current=found.current,
            desired=found.desired,
            needed=found.needed,
            min_nodes=self._policy.min_nodes,
            max_nodes=self._policy.max_nodes,
            overflow=found.overflow,
            oldest_task_seconds=round(found.oldest_task_seconds, 1),
            standing_seconds=round(found.standing_seconds, 1),
            removable=found.removable[:MOST_NAMED],
            alternatives=found.alternatives[:MOST_NAMED],
            demands={
                str(name): ResourceDemand(
                    round(it.demand, 3), round(it.node_capacity, 3), round(it.nodes, 3)
                )
                for name, it in found.demands.items()
            },
        )

    def _store(self, record: ScalingRecord) -> None:
        """Store a recommendation that differs from the last one."""
        content = (record.decision, record.desired)
        if content == self._stored:
            return
        with fenced_transaction(self._leadership):
            is_new = scaling.record(
                record.decision,
                current=record.current,
                desired=record.desired,
                reason=record.text,
                figures={
                    "needed": record.needed,
                    "overflow": record.overflow,
                    "oldest_task_seconds": record.oldest_task_seconds,
                    "removable": list(record.removable),
                    **{name: asdict(it) for name, it in record.demands.items()},
                },
            )
        self._stored = content
        if is_new:
            log.info(
                "scaling",
                decision=record.decision,
                current=record.current,
                desired=record.desired,
                reason=record.text,
            )
            events.announce(
                self._redis,
                "scaling",
                decision=record.decision,
                current=record.current,
                desired=record.desired,
                reason=record.text,
            )


def _seed(desired: int) -> Recommendation:
    return Recommendation(Decision.HOLD, Reason.STEADY, 0, desired, desired)
