"""Metrics of webhooks: how many fail, what waits for them and for how long."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime

from afx.exposition import Metric, by_label, lines
from afx.operations.webhooks import Figures


def webhook_lines(found: Mapping[str, Figures] | None, now: datetime) -> Iterator[str]:
    """Yield the metrics as lines; while the database is away they have no series.

    The label ``kind`` says whose webhooks they are: alerts are about the operator's, for a user
    may name any receiver.
    """
    return lines(_metrics(found, now)) if found else iter(())


def _metrics(found: Mapping[str, Figures], now: datetime) -> Iterator[Metric]:
    def age(at: datetime | None) -> float:
        return 0.0 if at is None else max(0.0, (now - at).total_seconds())

    states: tuple[tuple[str, Callable[[Figures], int]], ...] = (
        ("active", lambda it: it.active),
        ("failing", lambda it: it.failing),
        ("suspended", lambda it: it.suspended),
    )
    series = tuple(
        ((("kind", side), ("state", state)), float(count(it)))
        for side, it in found.items()
        for state, count in states
    )
    yield Metric("afx_webhooks", "gauge", "Webhooks by how they fare.", series)
    figures: tuple[tuple[str, str, Callable[[Figures], float]], ...] = (
        ("afx_webhook_waiting_deliveries", "Deliveries that wait.", lambda it: it.waiting),
        (
            "afx_webhook_oldest_seconds",
            "How long ago the oldest event was that waits to be delivered; 0: none waits.",
            lambda it: age(it.oldest_at),
        ),
        (
            "afx_webhook_late_seconds",
            "For how long a delivery has been due that nobody sends; 0: none is.",
            lambda it: age(it.due_at),
        ),
        (
            "afx_webhook_failing_seconds",
            "For how long the webhook that fails longest has failed; 0: none fails.",
            lambda it: age(it.failing_since),
        ),
        (
            "afx_webhook_failed_deliveries",
            "Deliveries that were given up within the last hour.",
            lambda it: it.failed,
        ),
    )
    for name, text, value in figures:
        yield by_label(name, "gauge", text, "kind", {k: value(it) for k, it in found.items()})
    yield by_label(
        "afx_webhook_left_out_events_total",
        "counter",
        "Events that webhooks were not told of, because too many waited.",
        "kind",
        {side: it.left_out for side, it in found.items()},
    )
