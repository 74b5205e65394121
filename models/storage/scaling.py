"""Scaling events: each change of what the scaling check recommends."""

from __future__ import annotations

from typing import Any

from models import paging
from models.analytics_tables import ScalingEvent
from models.base import transaction
from models.paging import Page
from models.storage.webhooks import record_event
from models.webhook_tables import EventKind


def record(
    decision: str, *, current: int, desired: int, reason: str, figures: dict[str, Any]
) -> bool:
    """Store a recommendation if it differs from the last one; returns whether it did."""
    with transaction():
        last = latest()
        if last and (last["decision"], last["desired"]) == (decision, desired):
            return False
        ScalingEvent.create(
            decision=decision, current=current, desired=desired, reason=reason, figures=figures
        )
        details = {"decision": decision, "current": current, "desired": desired, "reason": reason}
        record_event(EventKind.SCALING, "cluster", None, details)
        return True


def latest() -> dict[str, Any] | None:
    """Return the last event, or None."""
    query = ScalingEvent.select().order_by(ScalingEvent.id.desc()).limit(1)
    found: dict[str, Any] | None = query.dicts().get_or_none()
    return found


def listing(*, before: int | None = None, limit: int = 100) -> Page:
    """Return events, the newest first."""
    return paging.fetch(
        ScalingEvent.select(), ScalingEvent.id, after=before, limit=limit, newest_first=True
    )
