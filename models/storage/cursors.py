"""Copies of the sessions' cursors; Redis has the newest ones unless it lost its data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

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


def of_digests(owner: str = "", rule: int | None = None, session: str = "") -> list[dict[str, Any]]:
    """Return the rules with digests, or one, each with the stored cursor of its session.

    ``owner`` and ``session`` limit them to a user's and a session's.
    """
    limits, values = "", ['%"digest"%']
    if owner:
        limits, values = f"{limits} AND u.name = ?", [*values, owner]
    if session:
        limits, values = f"{limits} AND s.name = ?", [*values, session]
    if rule is not None:
        limits = f"{limits} AND r.id = {int(rule)}"
    rows = execute(
        "SELECT r.id, s.id, s.name, r.name, r.options FROM rules AS r"
        " JOIN sessions AS s ON s.id = r.session_id JOIN users AS u ON u.id = s.user_id"
        f" WHERE r.options LIKE ?{limits} ORDER BY s.name, r.name",
        *values,
    ).fetchall()
    found = [it for it in rows if json.loads(it[4]).get("digest")]
    fields: dict[int, dict[str, str]] = {}
    ids = sorted({it[1] for it in found})
    for start in range(0, len(ids), _PART):
        part = ids[start : start + _PART]
        marks = ", ".join("?" * len(part))
        stored = execute(
            f"SELECT session_id, fields FROM session_cursors WHERE session_id IN ({marks})",
            *part,
        ).fetchall()
        fields |= {number: json.loads(text) for number, text in stored}
    return [
        {"rule_id": it[0], "session": it[2], "name": it[3], "fields": fields.get(it[1], {})}
        for it in found
    ]
