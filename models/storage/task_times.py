"""How long tasks waited and ran: of those that finished last."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from models.base import execute, micros

_SECOND = 1e6


@dataclass(slots=True, frozen=True)
class TaskTime:
    """One task that has finished."""

    kind: str
    worker: str
    tier: str
    """Of its session's user; empty: it had no session."""
    state: str
    waited: float
    """Seconds from when it might run to its last start."""
    ran: float


def finished_since(since: datetime, limit: int) -> list[TaskTime]:
    """Return tasks that finished since a time, the newest first."""
    cursor = execute(
        "SELECT t.kind, t.worker, COALESCE(u.tier, ''), t.state, t.run_after, t.started_at,"
        " t.finished_at FROM worker_tasks t LEFT JOIN sessions s ON s.id = t.session_id"
        " LEFT JOIN users u ON u.id = s.user_id"
        " WHERE t.finished_at >= ? AND t.started_at IS NOT NULL"
        " ORDER BY t.finished_at DESC LIMIT ?",
        micros(since),
        limit,
    )
    return [
        TaskTime(
            kind,
            worker,
            tier,
            state,
            max(0.0, (started - ready) / _SECOND),
            max(0.0, (finished - started) / _SECOND),
        )
        for kind, worker, tier, state, ready, started, finished in cursor.fetchall()
    ]
