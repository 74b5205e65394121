"""Metrics of the whole cluster over time: a row for each minute, rolled up into hours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from models.analytics_tables import ClusterAnalytics
from models.base import execute, instant, micros, transaction, utc_now

MINUTE, HOUR = 60, 3600
_SECOND = 1_000_000
_MINUTES_UP_TO = timedelta(days=2)
"""A longer time is read in hours."""
_LAG = timedelta(minutes=2)


@dataclass(slots=True, frozen=True)
class Moment:
    """The cluster at one moment; sizes in bytes."""

    nodes: int
    """Ready ones."""
    sessions: int
    """Those that run."""
    sessions_limit: int
    """How many the ready nodes may run."""
    ram_used: int
    ram_limit: int
    """What sessions could use on the ready nodes in all."""
    cpu: float
    """Mean share of the machines' CPU that nodes use."""
    waiting: int
    """Sessions in the overflow queue."""
    forwarded: int
    """Messages since the moment before."""


def record(moments: Sequence[Moment], *, since: datetime, at: datetime, desired: int) -> None:
    """Store a minute from its moments; a minute that has a row keeps it.

    Tasks are counted that finished from ``since`` to ``at``, and sessions that are asleep now.
    """
    if not moments:
        return
    count = len(moments)

    def mean(name: str) -> float:
        return float(sum(getattr(it, name) for it in moments)) / count

    finished = dict(
        execute(
            "SELECT state, COUNT(*) FROM worker_tasks WHERE finished_at > ? AND finished_at <= ?"
            " GROUP BY state",
            micros(since),
            micros(at),
        ).fetchall()
    )
    unfinished = execute(
        "SELECT COUNT(*) FROM worker_tasks"
        " WHERE state IN ('waiting', 'queued', 'published', 'running')"
    ).fetchone()[0]
    hibernated = execute(
        "SELECT COUNT(*) FROM sessions WHERE desired_state = 'hibernated'"
    ).fetchone()[0]
    minute = micros(at) // (MINUTE * _SECOND) * MINUTE * _SECOND
    execute(
        "INSERT INTO cluster_analytics (span, at, samples, nodes, desired, sessions, sessions_max,"
        " sessions_limit, ram_used, ram_limit, cpu, waiting, waiting_max, tasks_open,"
        " tasks_succeeded, tasks_failed, forwarded, hibernated)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (span, at) DO NOTHING",
        MINUTE,
        minute,
        count,
        mean("nodes"),
        float(desired),
        mean("sessions"),
        max(it.sessions for it in moments),
        mean("sessions_limit"),
        int(mean("ram_used")),
        int(mean("ram_limit")),
        mean("cpu"),
        mean("waiting"),
        max(it.waiting for it in moments),
        float(unfinished),
        int(finished.get("succeeded", 0)),
        int(finished.get("failed", 0)),
        sum(it.forwarded for it in moments),
        float(hibernated),
    )


def roll_up(now: datetime | None = None) -> int:
    """Roll the minutes of whole hours up; returns how many hours were added. Idempotent."""
    last = _edge("MAX", HOUR)
    first = _edge("MIN", MINUTE) if last is None else last + HOUR * _SECOND
    if first is None:
        return 0
    step = HOUR * _SECOND
    until = micros((now or utc_now()) - _LAG) // step * step
    first = first // step * step
    if first >= until:
        return 0
    with transaction():
        return int(execute(_ROLL, HOUR, step, step, MINUTE, first, until).rowcount)


def prune(minutes: timedelta, hours: timedelta, most: int, now: datetime | None = None) -> int:
    """Remove at most ``most`` rows that are too old; a minute only after it was rolled up."""
    now = now or utc_now()
    rolled = _edge("MAX", HOUR)
    gone = 0
    for span, age, limit in ((MINUTE, minutes, rolled), (HOUR, hours, micros(now))):
        if limit is not None and gone < most:
            cursor = execute(
                "DELETE FROM cluster_analytics WHERE id IN (SELECT id FROM cluster_analytics"
                " WHERE span = ? AND at < ? ORDER BY at LIMIT ?)",
                span,
                min(micros(now - age), limit),
                most - gone,
            )
            gone += int(cursor.rowcount)
    return gone


def series(since: datetime, until: datetime | None = None) -> list[dict[str, Any]]:
    """Return the rows of a time range in order: minutes, or hours for more than two days.

    The end of a long range, which has no hour yet, is in minutes.
    """
    until = until or utc_now()
    table = ClusterAnalytics
    parts = [(MINUTE, micros(since))]
    last = _edge("MAX", HOUR) if until - since > _MINUTES_UP_TO else None
    if last is not None:
        parts = [(HOUR, micros(since)), (MINUTE, last + HOUR * _SECOND)]
    rows: list[dict[str, Any]] = []
    for span, begin in parts:
        query = table.select().where(
            (table.span == span) & (table.at >= max(since, instant(begin))) & (table.at < until)
        )
        rows.extend(query.order_by(table.at).dicts())
    return rows


def _edge(function: str, span: int) -> int | None:
    statement = f"SELECT {function}(at) FROM cluster_analytics WHERE span = ?"
    found = execute(statement, span).fetchone()[0]
    return None if found is None else int(found)


_ROLL = """
INSERT INTO cluster_analytics (span, at, samples, nodes, desired, sessions, sessions_max,
    sessions_limit, ram_used, ram_limit, cpu, waiting, waiting_max, tasks_open,
    tasks_succeeded, tasks_failed, forwarded, hibernated)
SELECT ?, at / ? * ?, SUM(samples),
    SUM(nodes * samples) / SUM(samples), SUM(desired * samples) / SUM(samples),
    SUM(sessions * samples) / SUM(samples), MAX(sessions_max),
    SUM(sessions_limit * samples) / SUM(samples),
    CAST(SUM(ram_used * samples) / SUM(samples) AS BIGINT),
    CAST(SUM(ram_limit * samples) / SUM(samples) AS BIGINT),
    SUM(cpu * samples) / SUM(samples), SUM(waiting * samples) / SUM(samples), MAX(waiting_max),
    SUM(tasks_open * samples) / SUM(samples), SUM(tasks_succeeded), SUM(tasks_failed),
    SUM(forwarded), SUM(hibernated * samples) / SUM(samples)
FROM cluster_analytics WHERE span = ? AND at >= ? AND at < ?
GROUP BY 2
ON CONFLICT (span, at) DO NOTHING
"""
