"""Holds placement when most nodes were lost at once, and then slows it down."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import redis
import structlog

from afx.cluster import events
from afx.cluster.worker_records import LIVE_STATES, WorkerView
from afx.coordinator.decisions import brake
from afx.coordinator.decisions.brake import Brake
from models.storage.webhooks import Event
from models.webhook_tables import EventKind

log = structlog.get_logger()


class LossBrake:
    """The brake of one term, and the losses that it counts."""

    def __init__(
        self, client: redis.Redis, *, hold_seconds: float, note_event: Callable[[Event], None]
    ) -> None:
        """``hold_seconds`` of 0 disables it; ``note_event`` takes what webhooks are told."""
        self._redis = client
        self._note_event = note_event
        self._brake = Brake(hold=hold_seconds)
        self._lost_at: dict[str, float] = {}
        """incarnation → when it was declared dead without having left."""

    def note_lost(self, incarnation: str, now: float) -> None:
        """Note that a node died."""
        self._lost_at[incarnation] = now

    def update(self, nodes: Sequence[WorkerView], now: float) -> None:
        """Begin to hold when most nodes were lost; announces it."""
        live = sum(it.state in LIVE_STATES for it in nodes)
        before = self._brake
        self._lost_at = brake.recent(before, self._lost_at, now)
        self._brake = brake.braked(before, self._lost_at, live, now)
        if self._brake != before:
            lost = len(self._lost_at)
            log.error("brake", lost=lost, live=live, hold_seconds=self._brake.hold)
            events.announce(self._redis, "brake", lost=lost, live=live)
            details = {"lost": lost, "live": live, "hold_seconds": self._brake.hold}
            self._note_event(Event(EventKind.BRAKE_HELD, "cluster", details=details))

    def is_held(self, now: float) -> bool:
        """Return whether no session may be placed now."""
        return brake.is_held(self._brake, now)

    def rate(self, now: float) -> float:
        """Return the share of the usual rate at which sessions may start now."""
        return brake.rate(self._brake, now)
