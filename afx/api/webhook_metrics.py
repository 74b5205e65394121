"""Metrics of webhooks: how many fail, what waits for them and for how long."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from afx.exposition import Metric, by_label, lines, single
from afx.operations.webhooks import Figures


def webhook_lines(found: Figures | None, now: datetime) -> Iterator[str]:
    """Yield the metrics as lines; while the database is away they have no series."""
    for it in () if found is None else _metrics(found, now):
        yield from lines((it,))


def _metrics(found: Figures, now: datetime) -> Iterator[Metric]:
    def age(at: datetime | None) -> float:
        return 0.0 if at is None else max(0.0, (now - at).total_seconds())

    states = {"active": found.active, "failing": found.failing, "suspended": found.suspended}
    yield by_label("afx_webhooks", "gauge", "Webhooks by how they fare.", "state", states)
    for name, text, value in (
        ("afx_webhook_waiting_deliveries", "Deliveries that wait.", found.waiting),
        (
            "afx_webhook_oldest_seconds",
            "How long ago the oldest event was that waits to be delivered; 0: none waits.",
            age(found.oldest_at),
        ),
        (
            "afx_webhook_late_seconds",
            "For how long a delivery has been due that nobody sends; 0: none is.",
            age(found.due_at),
        ),
        (
            "afx_webhook_failing_seconds",
            "For how long the webhook that fails longest has failed; 0: none fails.",
            age(found.failing_since),
        ),
        (
            "afx_webhook_failed_deliveries",
            "Deliveries that were given up within the last hour.",
            found.failed,
        ),
    ):
        yield single(name, "gauge", text, value)
    yield single(
        "afx_webhook_left_out_events_total",
        "counter",
        "Events that webhooks were not told of, because too many waited.",
        found.left_out,
    )
