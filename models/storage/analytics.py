"""Metrics of nodes over time: samples, rolled up into minutes and hours.

Rows with shorter spans are stored for a shorter time. A read uses the longest span
that answers the question, and shorter spans for the time that is not rolled up yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from peewee import fn

from models.analytics_tables import WorkerAnalytics
from models.base import execute, insert_many, instant, micros, transaction, utc_now
from models.paging import Page
from models.tables import ClusterState

RAW, MINUTE, HOUR = 0, 60, 3600
_SECOND = 1_000_000
_LAG = timedelta(seconds=10)
"""Samples of a minute may arrive this much later."""


@dataclass(slots=True, frozen=True)
class Sample:
    """Metrics of one node at one time; sizes in bytes."""

    worker: str
    rss: int
    cpu: float
    sessions: int
    forwarded: int
    """Messages since the previous sample."""
    load: float


@dataclass(slots=True, frozen=True)
class Retention:
    """How long rows of each span are stored."""

    raw: timedelta
    minutes: timedelta
    hours: timedelta


def sample_many(rows: Sequence[Sample], at: datetime | None = None) -> None:
    """Record metrics of nodes at one time (default: now)."""
    now = micros(at or utc_now())
    insert_many(
        "worker_analytics",
        (
            "worker",
            "span",
            "at",
            "samples",
            "rss",
            "rss_max",
            "cpu",
            "cpu_max",
            "sessions",
            "sessions_max",
            "forwarded",
            "load",
            "load_max",
        ),
        [
            (
                it.worker,
                RAW,
                now,
                1,
                it.rss,
                it.rss,
                it.cpu,
                it.cpu,
                it.sessions,
                it.sessions,
                it.forwarded,
                it.load,
                it.load,
            )
            for it in rows
        ],
    )


def summary(since: datetime, until: datetime | None = None) -> list[dict[str, Any]]:
    """Return means, maxima and message counts of each node over a time range, by name."""
    table = WorkerAnalytics
    weight = fn.SUM(table.samples)
    query = (
        table.select(
            table.worker,
            fn.SUM(table.samples).alias("samples"),
            (fn.SUM(table.rss * table.samples) / weight).alias("rss"),
            fn.MAX(table.rss_max).alias("rss_max"),
            (fn.SUM(table.cpu * table.samples) / weight).alias("cpu"),
            fn.MAX(table.cpu_max).alias("cpu_max"),
            (fn.SUM(table.sessions * table.samples) / weight).alias("sessions"),
            fn.MAX(table.sessions_max).alias("sessions_max"),
            fn.SUM(table.forwarded).alias("forwarded"),
            (fn.SUM(table.load * table.samples) / weight).alias("load"),
            fn.MAX(table.load_max).alias("load_max"),
            fn.MAX(table.at).alias("last"),
        )
        .where(_covering(since, until or utc_now()))
        .group_by(table.worker)
        .order_by(table.worker)
    )
    whole = ("samples", "rss", "rss_max", "sessions_max", "forwarded")
    parts = ("cpu", "cpu_max", "sessions", "load", "load_max")
    return [
        {
            **row,
            **{name: int(row[name]) for name in whole},
            **{name: round(float(row[name]), 4) for name in parts},
        }
        for row in query.dicts()
    ]


def series(
    since: datetime,
    until: datetime | None = None,
    *,
    worker: str | None = None,
    span: int | None = None,
    after: datetime | None = None,
    limit: int = 1000,
) -> Page:
    """Return about ``limit`` rows of a time range in order; rows of one time stay together.

    Without a ``span`` (0, 60 or 3600 seconds), the longest suitable span is used.
    """
    table = WorkerAnalytics
    until = until or utc_now()
    parts = _parts(since, until) if span is None else [(span, since, until)]
    rows: list[dict[str, Any]] = []
    for part, begin, end in parts:
        # One part at a time, so that an index returns the rows in order.
        query = table.select().where((table.span == part) & (table.at >= begin) & (table.at < end))
        if worker is not None:
            query = query.where(table.worker == worker)
        if after is not None:
            query = query.where(table.at > after)
        rows.extend(query.order_by(table.at).limit(limit + 1 - len(rows)).dicts())
        if len(rows) > limit:
            last = rows[-1]["at"]
            whole = [it for it in rows if it["at"] < last]
            if not whole:
                again = query.where(table.at == last).dicts()
                return Page(list(again), last)
            return Page(whole, whole[-1]["at"])
    return Page(rows, None)


def roll_up(most: int, now: datetime | None = None) -> int:
    """Roll samples up into minutes and minutes into hours; returns the number of rows read.

    Reads about ``most`` rows of each span, so that the transaction is short; the next
    call continues. It is idempotent.
    """
    until = (now or utc_now()) - _LAG
    return _roll(RAW, MINUTE, "minutes_to", until, most) + _roll(
        MINUTE, HOUR, "hours_to", until, most
    )


def oldest(span: int) -> datetime | None:
    """Return the time of the oldest row of a span; None when there is none."""
    at = _row_at(span, 0, 0)
    return None if at is None else instant(at)


def prune(keep: Retention, most: int, now: datetime | None = None) -> int:
    """Remove at most ``most`` rows that are too old; returns how many.

    A row is removed only after it was rolled up.
    """
    now = now or utc_now()
    state = ClusterState.get_or_none(ClusterState.id == 1)
    gone = 0
    for span, age, rolled in (
        (RAW, keep.raw, state and state.minutes_to),
        (MINUTE, keep.minutes, state and state.hours_to),
        (HOUR, keep.hours, now),
    ):
        if rolled is not None and gone < most:
            cursor = execute(
                "DELETE FROM worker_analytics WHERE id IN (SELECT id FROM worker_analytics"
                " WHERE span = ? AND at < ? ORDER BY at LIMIT ?)",
                span,
                micros(min(now - age, rolled)),
                most - gone,
            )
            gone += int(cursor.rowcount)
    return gone


def _covering(since: datetime, until: datetime) -> Any:
    """Return the condition for the longest-span rows that cover a time range."""
    table = WorkerAnalytics
    condition = table.id.is_null()
    for span, begin, end in _parts(since, until):
        condition |= (table.span == span) & (table.at >= begin) & (table.at < end)
    return condition


def _parts(since: datetime, until: datetime) -> list[tuple[int, datetime, datetime]]:
    """Return (span, begin, end) of the longest-span rows that cover a time range, in order."""
    state = ClusterState.get_or_none(ClusterState.id == 1)
    length = until - since
    hours_to = state and state.hours_to
    minutes_to = state and state.minutes_to
    hours_to = hours_to if hours_to and length > timedelta(days=2) else since
    minutes_to = minutes_to if minutes_to and length > timedelta(minutes=15) else hours_to
    hours_to = min(max(hours_to, since), until)
    minutes_to = min(max(minutes_to, hours_to), until)
    parts = [(HOUR, since, hours_to), (MINUTE, hours_to, minutes_to), (RAW, minutes_to, until)]
    return [it for it in parts if it[1] < it[2]]


def _roll(fine: int, coarse: int, mark: str, until: datetime, most: int) -> int:
    """Roll up one time range that has about ``most`` rows."""
    step = coarse * _SECOND
    with transaction():
        state, _ = ClusterState.get_or_create(id=1)
        if coarse == HOUR and state.minutes_to is None:
            return 0
        last = min(until, state.minutes_to) if coarse == HOUR else until
        last_step = micros(last) // step * step
        begin = getattr(state, mark)
        first = _row_at(fine, 0 if begin is None else micros(begin), 0)
        if first is None or first >= last_step:
            return 0
        first = first // step * step
        beyond = _row_at(fine, first, most)
        # At least one step, whatever its number of rows, so that each call makes progress.
        end = last_step if beyond is None else max(beyond // step * step, first + step)
        end = min(end, last_step)
        rows = int(execute(_COUNT, fine, first, end).fetchone()[0])
        execute(_ROLL, coarse, step, step, fine, first, end)
        setattr(state, mark, instant(end))
        ClusterState.update({mark: instant(end)}).where(ClusterState.id == 1).execute()
        return rows


def _row_at(span: int, begin: int, offset: int) -> int | None:
    cursor = execute(
        "SELECT at FROM worker_analytics WHERE span = ? AND at >= ? ORDER BY at LIMIT 1 OFFSET ?",
        span,
        begin,
        offset,
    )
    found = cursor.fetchone()
    return int(found[0]) if found else None


_COUNT = "SELECT COUNT(*) FROM worker_analytics WHERE span = ? AND at >= ? AND at < ?"
_ROLL = """
INSERT INTO worker_analytics (worker, span, at, samples, rss, rss_max, cpu, cpu_max,
                              sessions, sessions_max, forwarded, load, load_max)
SELECT worker, ?, at / ? * ?, SUM(samples),
       CAST(SUM(rss * samples) / SUM(samples) AS BIGINT), MAX(rss_max),
       SUM(cpu * samples) / SUM(samples), MAX(cpu_max),
       CAST(SUM(sessions * samples) / SUM(samples) AS INTEGER), MAX(sessions_max),
       SUM(forwarded), SUM(load * samples) / SUM(samples), MAX(load_max)
FROM worker_analytics
WHERE span = ? AND at >= ? AND at < ?
GROUP BY 1, 3
ON CONFLICT (worker, span, at) DO NOTHING
"""
