"""The overflow queue: sessions that fit nowhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from models.base import execute_many, micros, utc_now
from models.tables import Session, SessionQueue


def put_many(rows: Sequence[tuple[int, str]]) -> None:
    """Note that sessions wait, given as (session, reason), or still do."""
    now = micros(utc_now())
    execute_many(
        "INSERT INTO session_queue (session_id, reason, since, attempts) VALUES (?, ?, ?, 1)"
        " ON CONFLICT (session_id) DO UPDATE SET"
        " reason = EXCLUDED.reason, attempts = session_queue.attempts + 1",
        [(session, reason, now) for session, reason in rows],
    )


def remove_many(ids: Sequence[int]) -> None:
    """Note that sessions wait no longer."""
    execute_many("DELETE FROM session_queue WHERE session_id = ?", [(it,) for it in ids])


def listing() -> list[dict[str, Any]]:
    """Return all sessions that wait, the longest first."""
    query = (
        SessionQueue.select(
            Session.name.alias("session"), SessionQueue.reason, SessionQueue.since,
            SessionQueue.attempts,
        )
        .join(Session)
        .order_by(SessionQueue.since)
        .dicts()
    )  # fmt: skip
    return list(query)
