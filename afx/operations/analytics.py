"""Analytics: nodes' metrics over time, and counts of sessions, rules and users."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from afx.errors import UsageError
from afx.operations.context import Context, operation
from afx.operations.pages import Page, every, page_of
from models.storage import analytics, rules, sessions, users

SPANS = (analytics.RAW, analytics.MINUTE, analytics.HOUR)


@dataclass(slots=True, frozen=True)
class WorkerSummary:
    """One node's means and maxima over a time; sizes in bytes."""

    worker: str
    samples: int
    rss: int
    rss_max: int
    cpu: float
    cpu_max: float
    sessions: float
    sessions_max: int
    forwarded: int
    load: float
    load_max: float
    last: datetime


@dataclass(slots=True, frozen=True)
class MetricsRow:
    """One node's metrics over one span of time; sizes in bytes."""

    id: int
    worker: str
    span: int
    """Seconds; 0: one sample."""
    at: datetime
    samples: int
    rss: int
    rss_max: int
    cpu: float
    cpu_max: float
    sessions: int
    sessions_max: int
    forwarded: int
    load: float
    load_max: float


@dataclass(slots=True, frozen=True)
class Counts:
    """How many sessions, rules and users there are."""

    by_state: Mapping[str, int]
    """Sessions by state, and how many are troubled."""
    sessions: int
    rules: int
    users_by_tier: Mapping[str, int]


@operation("analytics:read")
def workers(context: Context, since: datetime) -> tuple[WorkerSummary, ...]:
    """Return each node's means, maxima and messages since an instant, by name."""
    del context
    return tuple(WorkerSummary(**row) for row in analytics.summary(since))


@operation("analytics:read")
def counts(context: Context) -> Counts:
    """Count sessions by state, rules, and users by tier."""
    del context
    return Counts(sessions.count_by_state(), sessions.count(), rules.count(), users.count_by_tier())


@operation("analytics:read")
def export(
    context: Context, since: datetime, *, worker: str | None = None, span: int | None = None
) -> Iterator[MetricsRow]:
    """Yield the rows of a time in its order, in constant memory.

    Without a ``span``, rows of the coarsest one that serves. Raises UsageError for
    a span that is none of ``SPANS``.
    """
    del context
    if span is not None and span not in SPANS:
        raise UsageError("A row covers 0, 60 or 3600 seconds; give one of these.")

    def page(after: datetime | None, limit: int) -> Page[MetricsRow]:
        found = analytics.series(since, worker=worker, span=span, after=after, limit=limit)
        return page_of(MetricsRow, found)

    return every(page)


@operation("analytics:read")
def series(
    context: Context,
    since: datetime,
    *,
    after: datetime | None = None,
    limit: int = 1_000,
    worker: str | None = None,
    span: int | None = None,
) -> Page[MetricsRow]:
    """Return about ``limit`` rows of a time in its order; rows of one instant stay together.

    ``span`` as for ``export``.
    """
    del context
    if span is not None and span not in SPANS:
        raise UsageError("A row covers 0, 60 or 3600 seconds; give one of these.")
    found = analytics.series(since, worker=worker, span=span, after=after, limit=limit)
    return page_of(MetricsRow, found)
