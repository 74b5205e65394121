"""What became of messages by rule: sums of each hour and of each day, in UTC.

Counts are added to both rows when they come, so nothing is rolled up later, and what is read
of a day is complete. A rule has at most ``HOURS_KEPT`` of hours, and days as long as nodes have
hours. The leader is the only writer: it merges latencies, which SQL could not add.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from models.base import execute, execute_many, instant, micros, utc_now

HOUR, DAY = 3600, 86_400
HOURS_KEPT = timedelta(days=3)
_SECOND = 1_000_000
_PART = 500
_MOST_MERGED = 2_000
"""Rows whose latencies are merged for the sum of all rules."""
_COUNTS = ("forwarded", "skipped", "dead", "waits", "waited_ms")


@dataclass(slots=True)
class RuleCount:
    """What became of messages of one rule, over a time."""

    rule: int
    forwarded: int = 0
    skipped: int = 0
    """Its filter did not take them."""
    dead: int = 0
    """Became dead letters."""
    waits: int = 0
    """How often Telegram wanted no sends to one of its destinations for a time."""
    waited_ms: int = 0
    latencies: dict[int, int] = field(default_factory=dict)
    """Bucket → messages."""

    def add(self, other: RuleCount) -> None:
        """Add the counts of another time."""
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for bucket, count in other.latencies.items():
            self.latencies[bucket] = self.latencies.get(bucket, 0) + count


def note(rows: Iterable[RuleCount], at: datetime | None = None) -> None:
    """Add counts to the hour and the day of an instant (default: now); in a transaction.

    Those of a rule that does not exist are left out.
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
    sums = ", ".join(f"SUM(a.{it})" for it in _COUNTS)
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
    sums = ", ".join(f"SUM({it})" for it in _COUNTS)
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
            f"SELECT rule_id, {', '.join(_COUNTS)}, latencies FROM rule_analytics"
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
        f"SELECT at, {', '.join(_COUNTS)}, latencies FROM rule_analytics"
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


def encode(latencies: Mapping[int, int]) -> str:
    """Return counts of latencies as they are stored, for example ``3:12,4:7``."""
    return ",".join(f"{bucket}:{count}" for bucket, count in sorted(latencies.items()))


def decode(text: str) -> dict[int, int]:
    """Return stored counts of latencies."""
    parts = (it.partition(":") for it in text.split(",") if it)
    return {int(bucket): int(count) for bucket, _, count in parts}


def _span(since: datetime) -> tuple[int, int]:
    """Return the span of the rows that answer a question, and where the first one begins."""
    span = HOUR if utc_now() - since <= HOURS_KEPT else DAY
    return span, _beginning(micros(since), span)


def _beginning(at: int, span: int) -> int:
    return at // (span * _SECOND) * span * _SECOND


def _read(rule: int, counts: Sequence[int], text: str) -> RuleCount:
    return RuleCount(rule, **dict(zip(_COUNTS, counts, strict=True)), latencies=decode(text))


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
    return (*(getattr(it, name) for name in _COUNTS), encode(sums.latencies))


_UPDATE = (
    f"UPDATE rule_analytics SET {', '.join(f'{it} = {it} + ?' for it in _COUNTS)}, latencies = ?"
    " WHERE id = ?"
)
_INSERT = (
    f"INSERT INTO rule_analytics (rule_id, span, at, {', '.join(_COUNTS)}, latencies)"
    " SELECT id, CAST(? AS INTEGER), CAST(? AS BIGINT),"
    f" {', '.join(['CAST(? AS BIGINT)'] * len(_COUNTS))}, CAST(? AS TEXT)"
    " FROM rules WHERE id = ?"
)
