"""What became of messages of all rules together: sums of each minute, of the last hours.

They answer what the hours of ``rule_analytics`` cannot: what became of messages in the last
hour. They are written with them, by the leader alone.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from models.base import execute, micros, utc_now
from models.storage.rule_counts import COUNTS, RuleCount, decode, encode

KEPT = timedelta(hours=3)
_MINUTE = 60 * 1_000_000
_ADD = (
    f"INSERT INTO message_minutes (at, {', '.join(COUNTS)}, latencies)"
    f" VALUES (?, {', '.join('?' * len(COUNTS))}, ?) ON CONFLICT (at) DO UPDATE SET "
    + ", ".join(f"{it} = message_minutes.{it} + excluded.{it}" for it in COUNTS)
    + ", latencies = excluded.latencies"
)


def note(count: RuleCount, at: datetime | None = None) -> None:
    """Add counts to the minute of an instant (default: now); in a transaction."""
    minute = _beginning(at or utc_now())
    stored = execute("SELECT latencies FROM message_minutes WHERE at = ?", minute).fetchone()
    latencies = RuleCount(0, latencies=decode(stored[0]) if stored else {})
    latencies.add(RuleCount(0, latencies=count.latencies))
    counts = [getattr(count, it) for it in COUNTS]
    execute(_ADD, minute, *counts, encode(latencies.latencies))


def total(since: datetime) -> RuleCount:
    """Return the sum of the minutes since that of an instant, ``KEPT`` ago at most."""
    found = RuleCount(0)
    rows = execute(
        f"SELECT {', '.join(COUNTS)}, latencies FROM message_minutes WHERE at >= ?",
        _beginning(since),
    ).fetchall()
    for *counts, text in rows:
        sums = dict(zip(COUNTS, counts, strict=True))
        found.add(RuleCount(0, **sums, latencies=decode(text)))
    return found


def prune(most: int, now: datetime | None = None) -> int:
    """Remove at most ``most`` minutes that are too old; returns how many."""
    cursor = execute(
        "DELETE FROM message_minutes WHERE id IN"
        " (SELECT id FROM message_minutes WHERE at < ? ORDER BY at LIMIT ?)",
        *(micros((now or utc_now()) - KEPT), most),
    )
    return int(cursor.rowcount)


def _beginning(at: datetime) -> int:
    return micros(at) // _MINUTE * _MINUTE
