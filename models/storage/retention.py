"""Bounds the history tables, a few rows at a time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from models.base import transaction, utc_now
from models.storage import (
    analytics,
    assignments,
    cluster_analytics,
    controls,
    held_messages,
    message_minutes,
    rule_analytics,
    session_changes,
    tasks,
    webhook_deliveries,
)
from models.storage.analytics import Retention

BATCH = 5_000


@dataclass(slots=True, frozen=True)
class Kept:
    """How long each kind of row is stored."""

    analytics: Retention
    history: timedelta
    """Ended assignments, finished tasks and controls, deliveries of webhooks, decided messages,
    ended changes of many sessions."""


def maintain(kept: Kept, most: int = BATCH) -> int:
    """Roll up and prune about ``most`` rows of each table; returns how many it touched.

    Zero means that nothing was left to do. Each table has its own transaction, so that
    locks are short.
    """
    before = utc_now() - kept.history
    touched = analytics.roll_up(most)
    with transaction():
        touched += analytics.prune(kept.analytics, most)
    touched += cluster_analytics.roll_up()
    with transaction():
        touched += cluster_analytics.prune(kept.analytics.minutes, kept.analytics.hours, most)
    with transaction():
        kept_hours = min(kept.analytics.minutes, rule_analytics.HOURS_KEPT)
        touched += rule_analytics.prune(kept_hours, kept.analytics.hours, most)
    with transaction():
        touched += message_minutes.prune(most)
    for prune in (
        assignments.prune,
        tasks.prune,
        controls.prune,
        webhook_deliveries.prune,
        held_messages.prune,
        session_changes.prune,
    ):
        with transaction():
            touched += prune(before, most)
    return touched
