"""Worker nodes that were seen, and samples of their metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from models.base import execute_many, micros, utc_now
from models.tables import Worker


def seen_many(rows: Sequence[tuple[str, str, str, str]]) -> None:
    """Note nodes, given as (name, incarnation, hostname, state)."""
    now = micros(utc_now())
    execute_many(
        "INSERT INTO workers (name, incarnation, hostname, state, first_seen, last_seen)"
        " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET"
        " incarnation = EXCLUDED.incarnation, hostname = EXCLUDED.hostname,"
        " state = EXCLUDED.state, last_seen = EXCLUDED.last_seen",
        [(*row, now, now) for row in rows],
    )


def sample_many(rows: Sequence[tuple[str, int, float, int, int, float]]) -> None:
    """Record metrics: (name, rss bytes, cpu share, sessions, forwarded, load)."""
    now = micros(utc_now())
    execute_many(
        "INSERT INTO worker_analytics (worker, at, rss, cpu, sessions, forwarded, load)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        [(row[0], now, *row[1:]) for row in rows],
    )


def listing() -> list[dict[str, Any]]:
    """Return every node that was ever seen."""
    return list(Worker.select().order_by(Worker.name).dicts())
