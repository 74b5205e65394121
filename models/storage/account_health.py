"""The health of sessions' accounts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from models.base import execute_many, micros
from models.tables import Session

_LONGEST_ERROR = 200


@dataclass(slots=True, frozen=True)
class HealthRow:
    """One session's: what, since when, when it was last shown, and by which answer."""

    session_id: int
    health: str
    since: datetime
    seen: datetime
    error: str = ""


def unhealthy() -> list[HealthRow]:
    """Return all sessions whose account is not healthy."""
    columns = (
        Session.id,
        Session.health,
        Session.health_since,
        Session.health_seen,
        Session.health_error,
    )
    query = Session.select(*columns).where(Session.health != "healthy")
    return [HealthRow(*row) for row in query.tuples() if None not in row]


def note(rows: Sequence[HealthRow]) -> None:
    """Note the health of accounts."""
    execute_many(
        "UPDATE sessions SET health = ?, health_since = ?, health_seen = ?, health_error = ?"
        " WHERE id = ?",
        [
            (it.health, micros(it.since), micros(it.seen), it.error[:_LONGEST_ERROR], it.session_id)
            for it in rows
        ],
    )
