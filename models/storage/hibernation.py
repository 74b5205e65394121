"""Hibernation: which sessions have no connection, why, and when they wake.

``sessions.hibernation`` says why a session hibernates. While it is asleep, its desired state
is ``hibernated``. While it is awake for a short time (to catch up, or for a task), its desired
state is ``running``, and ``awake_at`` says since when. It is awake for good when all three
columns are empty. Each call that the leader makes belongs into a transaction of its term.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from afx.errors import ConflictError
from models.base import execute, execute_many, instant, micros, transaction, utc_now
from models.storage.task_queue import UNTIL_SESSION_RUNS
from models.tables import Session

AWAKE = {"hibernation": "", "wakes_at": None, "awake_at": None}
"""The columns of a session that does not hibernate."""
_PART = 500
_ASLEEP = "desired_state = 'hibernated' AND NOT removing"
_NO_RULE = (
    "(sessions.sends = 0 AND NOT EXISTS"
    " (SELECT 1 FROM rules AS r WHERE r.session_id = sessions.id AND r.enabled))"
)
WIDE_AWAKE = (
    "desired_state = 'running' AND hibernation = '' AND awake_at IS NULL AND NOT removing"
    " AND EXISTS (SELECT 1 FROM rules AS r WHERE r.session_id = sessions.id AND r.enabled)"
)
"""Of sessions that run for more than a short time, and have something to forward."""
_WAKEABLE = (
    "NOT sessions.removing AND (sessions.desired_state = 'hibernated'"
    " OR (sessions.desired_state = 'running' AND sessions.hibernation = ''"
    f" AND {_NO_RULE}))"
)
_LOGIN_AT = "COALESCE(login_at, created_at)"
_SOON = timedelta(minutes=1)
_EARLY, _LATEST = 10, 4_102_444_800
"""Seconds by which a session wakes before something is due; and the end of this century."""


def request(session: Session, wakes_at: datetime) -> None:
    """Let a session hibernate because an operator asks for it; clears its trouble.

    Raises ConflictError for a session that is being removed, or that an operator has paused:
    it would run when it wakes.
    """
    with transaction():
        changed = (
            Session.update(
                desired_state="hibernated",
                hibernation="requested",
                wakes_at=wakes_at,
                awake_at=None,
                trouble="",
                retry_at=None,
                failures=0,
            )
            .where(Session.id == session.id, ~Session.removing, Session.desired_state != "paused")
            .execute()
        )
        if not changed:
            raise ConflictError(
                f"Session '{session.name}' is paused or being removed; nothing was changed. "
                "Resume it before it hibernates."
            )


def wake_until_run(session: Session) -> None:
    """Wake a session for a short time if it has never run with its present, enabled rules.

    It sleeps when it has: their chats get their positions only when it runs with them.
    """
    execute(
        "UPDATE sessions SET desired_state = 'running', wakes_at = NULL, awake_at = ?"
        f" WHERE id = ? AND {_ASLEEP} AND NOT {_NO_RULE}"
        " AND (content > renewed OR"
        "  NOT EXISTS (SELECT 1 FROM session_assignments AS a WHERE a.session_id = sessions.id"
        "  AND a.revision >= sessions.revision AND a.running_at IS NOT NULL))",
        micros(utc_now()),
        session.id,
    )


def begin(rows: Sequence[tuple[int, int, datetime]], reason: str) -> None:
    """Let sessions hibernate by themselves, given as (session, its revision, when it wakes).

    Those that an operator has paused, that hibernate already, or whose rules have changed
    since they were chosen, are passed over.
    """
    execute_many(
        "UPDATE sessions SET desired_state = 'hibernated', hibernation = ?, wakes_at = ?"
        " WHERE id = ? AND revision = ? AND content <= renewed"
        " AND desired_state = 'running' AND hibernation = '' AND NOT removing",
        [(reason, micros(at), session, revision) for session, revision, at in sorted(rows)],
    )


# --- waking ----------------------------------------------------------------------------


def due(now: datetime, limit: int) -> list[int]:
    """Return sessions that are to wake by now: premium users' first, then the latest."""
    cursor = execute(
        "SELECT s.id FROM sessions AS s JOIN users AS u ON u.id = s.user_id"
        " WHERE s.desired_state = 'hibernated' AND NOT s.removing AND s.wakes_at <= ?"
        " ORDER BY CASE WHEN u.tier = 'premium' THEN 0 ELSE 1 END, s.wakes_at LIMIT ?",
        micros(now),
        limit,
    )
    return [int(it) for (it,) in cursor.fetchall()]


def beyond_bound(now: datetime, poll: timedelta, longest: timedelta, limit: int) -> list[int]:
    """Return sessions that would sleep for longer than any may, from now on.

    The clock went back since they fell asleep, or the bounds were made shorter: ``longest``,
    and ``poll`` for those with a rule.
    """
    cursor = execute(
        "SELECT id FROM sessions WHERE desired_state = 'hibernated' AND NOT removing"
        " AND wakes_at > ? AND (hibernation <> 'no_rule' OR wakes_at > ?) LIMIT ?",
        micros(now + min(poll, longest)),
        micros(now + longest),
        limit,
    )
    return [int(it) for (it,) in cursor.fetchall()]


def awaited_by_tasks(limit: int) -> list[int]:
    """Return sessions that tasks wait for and that wake for a task (see ``wakeable``)."""
    cursor = execute(
        "SELECT DISTINCT sessions.id FROM worker_tasks AS t"
        " JOIN sessions ON sessions.id = t.session_id"
        f" WHERE t.state = 'waiting' AND t.run_after >= ? AND {_WAKEABLE} LIMIT ?",
        micros(UNTIL_SESSION_RUNS),
        limit,
    )
    return [int(it) for (it,) in cursor.fetchall()]


def wakeable(ids: Sequence[int]) -> list[int]:
    """Return those sessions that wake for a task: asleep, or without an enabled rule."""
    found: list[int] = []
    for start in range(0, len(ids), _PART):
        part = ids[start : start + _PART]
        cursor = execute(
            f"SELECT id FROM sessions WHERE id IN ({', '.join('?' * len(part))}) AND {_WAKEABLE}",
            *part,
        )
        found += [int(it) for (it,) in cursor.fetchall()]
    return found


def wake(ids: Sequence[int], now: datetime) -> None:
    """Wake sessions for a short time; those that are not asleep are passed over."""
    for start in range(0, len(ids), _PART):
        part = ids[start : start + _PART]
        execute(
            "UPDATE sessions SET desired_state = 'running', wakes_at = NULL, awake_at = ?"
            f" WHERE {_ASLEEP} AND id IN ({', '.join('?' * len(part))})",
            micros(now),
            *part,
        )


def wake_by(rows: Sequence[tuple[int, int]]) -> None:
    """Let sessions that sleep wake earlier, given as (session, when something of it is due).

    In Unix seconds; they wake a little before. Those without an enabled rule sleep on.
    """
    wakes = [(it, (min(due, _LATEST) - _EARLY) * 1_000_000) for it, due in sorted(rows)]
    execute_many(
        f"UPDATE sessions SET wakes_at = ? WHERE id = ? AND {_ASLEEP} AND wakes_at > ?"
        " AND hibernation <> 'no_rule'",
        [(at, session, at) for session, at in wakes],
    )


def wake_for_tasks(ids: Sequence[int], now: datetime) -> None:
    """Wake sessions for their tasks, also such as have no enabled rule and never hibernated."""
    wake(ids, now)
    execute_many(
        "UPDATE sessions SET hibernation = 'no_rule', awake_at = ?"
        " WHERE id = ? AND desired_state = 'running' AND hibernation = '' AND NOT removing"
        f" AND {_NO_RULE}",
        [(micros(now), it) for it in sorted(ids)],
    )


def wake_for_rules(ids: Iterable[int]) -> None:
    """Wake sessions that have got an enabled rule, in the transaction that enables it.

    A session whose hibernation an operator has asked for is awake until it runs with the
    rule, whose chats get their positions then; any other one stays awake.
    """
    now, chosen = micros(utc_now()), sorted(set(ids))
    for start in range(0, len(chosen), _PART):
        part = chosen[start : start + _PART]
        marks = ", ".join("?" * len(part))
        execute(
            "UPDATE sessions SET hibernation = '', wakes_at = NULL, awake_at = NULL,"
            " desired_state = CASE WHEN desired_state = 'hibernated' THEN 'running'"
            " ELSE desired_state END WHERE hibernation NOT IN ('', 'requested')"
            f" AND id IN ({marks})",
            *part,
        )
        execute(
            "UPDATE sessions SET desired_state = 'running', wakes_at = NULL, awake_at = ?"
            f" WHERE {_ASLEEP} AND id IN ({marks})",
            now,
            *part,
        )


# --- asleep again ----------------------------------------------------------------------


@dataclass(slots=True, frozen=True)
class Awake:
    """A session that hibernates, and is awake for a short time."""

    session: int
    reason: str
    """One of ``HIBERNATION_REASONS``."""
    awake_at: datetime
    revision: int
    """Of its rules."""
    active_at: datetime | None
    """When it last forwarded a message."""
    failures: int
    login_days: int | None


def awake() -> list[Awake]:
    """Return the sessions that are awake for a short time."""
    cursor = execute(
        "SELECT id, hibernation, awake_at, revision, active_at, failures, login_days FROM sessions"
        " WHERE awake_at IS NOT NULL AND desired_state = 'running' AND NOT removing"
    )
    return [
        Awake(
            int(row[0]),
            str(row[1]),
            instant(row[2]),
            int(row[3]),
            None if row[4] is None else instant(row[4]),
            int(row[5]),
            row[6],
        )
        for row in cursor.fetchall()
    ]


def with_tasks(ids: Sequence[int]) -> set[int]:
    """Return those sessions that have tasks to run, now or within a minute."""
    soon = micros(utc_now() + _SOON)
    found: set[int] = set()
    for start in range(0, len(ids), _PART):
        part = ids[start : start + _PART]
        cursor = execute(
            "SELECT DISTINCT session_id FROM worker_tasks WHERE session_id IN"
            f" ({', '.join('?' * len(part))}) AND state IN"
            " ('waiting', 'queued', 'published', 'running')"
            " AND (state <> 'waiting' OR run_after >= ? OR run_after <= ?)",
            *part,
            micros(UNTIL_SESSION_RUNS),
            soon,
        )
        found |= {int(it) for (it,) in cursor.fetchall()}
    return found


def sleep(rows: Sequence[tuple[int, int, datetime]]) -> None:
    """Let sessions sleep again, given as (session, its revision, when it wakes).

    One whose rules have changed since, or about which an operator has decided otherwise, is
    passed over.
    """
    execute_many(
        "UPDATE sessions SET desired_state = 'hibernated', wakes_at = ?, awake_at = NULL"
        " WHERE id = ? AND revision = ? AND desired_state = 'running' AND awake_at IS NOT NULL"
        " AND NOT removing",
        [(micros(at), session, revision) for session, revision, at in sorted(rows)],
    )


def note_login_days(rows: Sequence[tuple[int, int]]) -> None:
    """Note after how many days without use Telegram ends logins, given as (session, days)."""
    execute_many(
        "UPDATE sessions SET login_days = ? WHERE id = ?",
        [(days, session) for session, days in sorted(rows)],
    )


def login_days(ids: Sequence[int]) -> dict[int, int]:
    """Return the same by session, of those of which it is known."""
    found: dict[int, int] = {}
    for start in range(0, len(ids), _PART):
        part = ids[start : start + _PART]
        cursor = execute(
            f"SELECT id, login_days FROM sessions WHERE id IN ({', '.join('?' * len(part))})"
            " AND login_days IS NOT NULL",
            *part,
        )
        found |= {int(it): int(days) for it, days in cursor.fetchall()}
    return found


def end(ids: Sequence[int]) -> None:
    """Let sessions that are awake for a short time stay awake: their reason has ended."""
    execute_many(
        "UPDATE sessions SET hibernation = '', wakes_at = NULL, awake_at = NULL"
        " WHERE id = ? AND awake_at IS NOT NULL",
        [(it,) for it in sorted(ids)],
    )


# --- by themselves ---------------------------------------------------------------------


def without_rule(beyond: int, to: int | None, before: datetime) -> dict[int, int]:
    """Return the sessions that should run and have had no enabled rule since before an instant.

    As session → revision: those after ``beyond``, up to ``to``; None: up to the last one. No
    node runs such a session; since when it is so, its last assignment says.
    """
    condition, values = _range(beyond, to)
    cursor = execute(
        f"SELECT id, revision FROM sessions WHERE {condition}"
        " AND desired_state = 'running' AND hibernation = '' AND NOT removing"
        f" AND {_LOGIN_AT} < ? AND {_NO_RULE}"
        " AND NOT EXISTS (SELECT 1 FROM session_assignments AS a WHERE a.session_id = sessions.id"
        "  AND (a.ended_at IS NULL OR a.ended_at >= ?)) ORDER BY id",
        *values,
        micros(before),
        micros(before),
    )
    return {int(it): int(revision) for it, revision in cursor.fetchall()}


def with_rule(beyond: int, to: int | None) -> list[int]:
    """Return the sessions that hibernate for want of an enabled rule, and have one.

    Of a range, as ``without_rule``. The rule was added while its session fell asleep.
    """
    condition, values = _range(beyond, to)
    cursor = execute(
        f"SELECT id FROM sessions WHERE {condition} AND hibernation = 'no_rule' AND NOT removing"
        f" AND NOT {_NO_RULE} ORDER BY id",
        *values,
    )
    return [int(it) for (it,) in cursor.fetchall()]


def _range(beyond: int, to: int | None) -> tuple[str, list[Any]]:
    """Return the condition of a range of sessions, and its values."""
    return ("id > ?", [beyond]) if to is None else ("id > ? AND id <= ?", [beyond, to])


def older_than(ids: Sequence[int], before: datetime) -> dict[int, int]:
    """Return those sessions that got their login before an instant, as session → revision."""
    found: dict[int, int] = {}
    for start in range(0, len(ids), _PART):
        part = ids[start : start + _PART]
        cursor = execute(
            f"SELECT id, revision FROM sessions WHERE id IN ({', '.join('?' * len(part))})"
            f" AND {_LOGIN_AT} < ?",
            *part,
            micros(before),
        )
        found |= {int(it): int(revision) for it, revision in cursor.fetchall()}
    return found
