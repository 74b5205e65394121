"""Copies of the sessions' cursors; Redis has the newest ones unless it lost its data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from models.base import execute, execute_many, micros, utc_now

_PART = 500


def save_many(cursors: Mapping[int, Mapping[str, str]]) -> None:
    """Store cursors of sessions, each as its fields in Redis; call it in a transaction.

    A session that was removed meanwhile is skipped.
    """
    now = micros(utc_now())
    execute_many(
        "INSERT INTO session_cursors (session_id, fields, saved_at)"
        " SELECT id, CAST(? AS TEXT), CAST(? AS BIGINT) FROM sessions WHERE id = ?"
        " ON CONFLICT (session_id) DO UPDATE SET"
        " fields = EXCLUDED.fields, saved_at = EXCLUDED.saved_at",
        [
            (json.dumps(fields, separators=(",", ":")), now, session)
            for session, fields in cursors.items()
        ],
    )


def page(beyond: int, limit: int) -> dict[int, dict[str, str]]:
    """Return stored cursors by session, in this order, those after session ``beyond``."""
    rows = execute(
        "SELECT session_id, fields FROM session_cursors WHERE session_id > ?"
        " ORDER BY session_id LIMIT ?",
        beyond,
        limit,
    ).fetchall()
    return {session: json.loads(fields) for session, fields in rows}


def of_sessions(ids: Sequence[int]) -> dict[int, dict[str, str]]:
    """Return the stored cursors of some sessions; those without one are left out."""
    found: dict[int, dict[str, str]] = {}
    for start in range(0, len(ids), _PART):
        part = ids[start : start + _PART]
        rows = execute(
            "SELECT session_id, fields FROM session_cursors"
            f" WHERE session_id IN ({', '.join('?' * len(part))})",
            *part,
        ).fetchall()
        found |= {session: json.loads(fields) for session, fields in rows}
    return found
