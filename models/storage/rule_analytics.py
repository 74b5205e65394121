"""What became of messages by rule: sums of each hour and of each day, in UTC.

Counts are added to both rows when they come, so nothing is rolled up later, and what is read
of a day is complete. A rule has at most ``HOURS_KEPT`` of hours, and days as long as nodes have
hours. The leader is the only writer: it merges latencies, which SQL could not add.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from models.base import execute, execute_many, instant, micros, utc_now
from models.storage import message_minutes
from models.storage.rule_counts import COUNTS, RuleCount, decode, encode

HOUR, DAY = 3600, 86_400
HOURS_KEPT = timedelta(days=3)
_SECOND = 1_000_000
_PART = 500
_MOST_MERGED = 2_000
"""Rows whose latencies are merged for the sum of all rules."""


def note(rows: Iterable[RuleCount], at: datetime | None = None) -> None:
    """Add counts to the hour, the day and the minute of an instant (default: now).

    Call it in a transaction. The minute has all rules together. Those of a rule that does not
    exist are left out.
    """
    fresh: dict[int, RuleCount] = {}
    for it in rows:
        fresh.setdefault(it.rule, RuleCount(it.rule)).add(it)
    ids = sorted(fresh)
    now = micros(at or utc_now())
    for start in range(0, len(ids), _PART):
        part = ids[start : start + _PART]
        for span in (HOUR, DAY):
            begin = _beginning(now, span)
            stored = _stored(part, span, begin)
            old = [(*_values(fresh[it], stored[it][1]), stored[it][0]) for it in stored]
            new = [(span, begin, *_values(fresh[it]), it) for it in part if it not in stored]
            execute_many(_UPDATE, old)
            execute_many(_INSERT, new)
    known = _known(ids)
    together = RuleCount(0)
    for it in fresh.values():
        if it.rule in known:
            together.add(it)
    if known:
        message_minutes.note(together, at)


def totals(
    since: datetime,
    *,
    owner: str = "",
    session: int | None = None,
    most: int = 20,
) -> list[dict[str, Any]]:
    """Return the sums of the rules that forwarded most since an instant, most first.

    It counts from the beginning of the hour in which the instant lies; of more than
    ``HOURS_KEPT`` from that of the day. ``owner`` limits them to a user's sessions.
    """
    span, begin = _span(since)
    conditions, values = ["a.span = ?", "a.at >= ?"], [span, begin]
    if owner:
        conditions.append("s.user_id = (SELECT id FROM users WHERE name = ?)")
    if session is not None:
        conditions.append("s.id = ?")
    more: list[Any] = [*([owner] if owner else []), *([] if session is None else [session])]
    sums = ", ".join(f"SUM(a.{it})" for it in COUNTS)
    rows = execute(
        f"SELECT r.id, s.name, r.name, {sums} FROM rule_analytics a"
        " JOIN rules r ON r.id = a.rule_id JOIN sessions s ON s.id = r.session_id"
        f" WHERE {' AND '.join(conditions)} GROUP BY r.id, s.name, r.name"
        " ORDER BY 4 DESC, 1 LIMIT ?",
        *(*values, *more, most),
    ).fetchall()
    found = of_rules([row[0] for row in rows], since)
    return [
        {"rule_id": row[0], "session": row[1], "name": row[2], "count": found[row[0]]}
        for row in rows
        if row[0] in found
    ]


def total(since: datetime) -> RuleCount:
    """Return the sum of all rules since an instant, as ``totals`` counts it; its rule is 0.

    Latencies are those of the hours of rules in which most was forwarded: there may be
    hundreds of thousands.
    """
    span, begin = _span(since)
    sums = ", ".join(f"SUM({it})" for it in COUNTS)
    counts = execute(
        f"SELECT {sums} FROM rule_analytics WHERE span = ? AND at >= ?", span, begin
    ).fetchone()
    found = _read(0, [int(it or 0) for it in counts], "")
    texts = execute(
        "SELECT latencies FROM rule_analytics WHERE span = ? AND at >= ?"
        " ORDER BY forwarded DESC LIMIT ?",
        *(span, begin, _MOST_MERGED),
    ).fetchall()
    for [text] in texts:
        found.add(RuleCount(0, latencies=decode(text)))
    return found


def of_rules(rules: Sequence[int], since: datetime, *, owner: str = "") -> dict[int, RuleCount]:
    """Return the sums of some rules since an instant, as ``totals`` counts it, by rule.

    ``owner`` limits them to a user's.
    """
    owned = (
        " AND rule_id IN (SELECT r.id FROM rules r JOIN sessions s ON s.id = r.session_id"
        " JOIN users u ON u.id = s.user_id WHERE u.name = ?)"
    )
    found: dict[int, RuleCount] = {}
    span, begin = _span(since)
    for start in range(0, len(rules), _PART):
        part = list(rules[start : start + _PART])
        marks = ", ".join("?" * len(part))
        rows = execute(
            f"SELECT rule_id, {', '.join(COUNTS)}, latencies FROM rule_analytics"
            f" WHERE rule_id IN ({marks}) AND span = ? AND at >= ?{owned if owner else ''}",
            *(*part, span, begin, *([owner] if owner else [])),
        ).fetchall()
        for rule, *counts, text in rows:
            found.setdefault(rule, RuleCount(rule)).add(_read(rule, counts, text))
    return found


def series(rule: int, since: datetime) -> list[dict[str, Any]]:
    """Return the hours of a rule since an instant, in order; of a long time its days."""
    span, begin = _span(since)
    rows = execute(
        f"SELECT at, {', '.join(COUNTS)}, latencies FROM rule_analytics"
        " WHERE rule_id = ? AND span = ? AND at >= ? ORDER BY at",
        *(rule, span, begin),
    ).fetchall()
    return [
        {
            "at": instant(at),
            "span": span,
            "count": _read(rule, counts, text),
        }
        for at, *counts, text in rows
    ]


def prune(hours: timedelta, days: timedelta, most: int, now: datetime | None = None) -> int:
    """Remove at most ``most`` hours and days that are too old; returns how many."""
    gone = 0
    for span, age in ((HOUR, hours), (DAY, days)):
        cursor = execute(
            "DELETE FROM rule_analytics WHERE id IN (SELECT id FROM rule_analytics"
            " WHERE span = ? AND at < ? ORDER BY at LIMIT ?)",
            *(span, micros((now or utc_now()) - age), most - gone),
        )
        gone += int(cursor.rowcount)
    return gone


def _span(since: datetime) -> tuple[int, int]:
    """Return the span of the rows that answer a question, and where the first one begins."""
    span = HOUR if utc_now() - since <= HOURS_KEPT else DAY
    return span, _beginning(micros(since), span)


def _beginning(at: int, span: int) -> int:
    return at // (span * _SECOND) * span * _SECOND


def _read(rule: int, counts: Sequence[int], text: str) -> RuleCount:
    return RuleCount(rule, **dict(zip(COUNTS, counts, strict=True)), latencies=decode(text))


def _known(rules: Sequence[int]) -> set[int]:
    """Return which rules there are."""
    found: set[int] = set()
    for start in range(0, len(rules), _PART):
        part = rules[start : start + _PART]
        marks = ", ".join("?" * len(part))
        found |= {row[0] for row in execute(f"SELECT id FROM rules WHERE id IN ({marks})", *part)}
    return found


def _stored(rules: Sequence[int], span: int, begin: int) -> dict[int, tuple[int, str]]:
    """Return (id, latencies) of the rows that there are, by rule."""
    marks = ", ".join("?" * len(rules))
    rows = execute(
        "SELECT rule_id, id, latencies FROM rule_analytics"
        f" WHERE rule_id IN ({marks}) AND span = ? AND at = ? ORDER BY rule_id",
        *(*rules, span, begin),
    ).fetchall()
    return {rule: (row, text) for rule, row, text in rows}


def _values(it: RuleCount, stored: str = "") -> tuple[Any, ...]:
    """Return what is added to a row's counts, and what its latencies are then."""
    sums = RuleCount(it.rule, latencies=decode(stored))
    sums.add(it)
    return (*(getattr(it, name) for name in COUNTS), encode(sums.latencies))


_UPDATE = (
    f"UPDATE rule_analytics SET {', '.join(f'{it} = {it} + ?' for it in COUNTS)}, latencies = ?"
    " WHERE id = ?"
)
_INSERT = (
    f"INSERT INTO rule_analytics (rule_id, span, at, {', '.join(COUNTS)}, latencies)"
    " SELECT id, CAST(? AS INTEGER), CAST(? AS BIGINT),"
    f" {', '.join(['CAST(? AS BIGINT)'] * len(COUNTS))}, CAST(? AS TEXT)"
    " FROM rules WHERE id = ?"
)
