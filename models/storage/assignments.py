"""Assignments: which node runs a session, under which epoch.

A session's assignment goes assigned → running → (stopping →) ended. All calls
belong into a transaction that began with ``cluster.hold``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from models.base import execute_many, micros, utc_now
from models.tables import Session, SessionAssignment


@dataclass(slots=True, frozen=True)
class Active:
    """A session's assignment that has not ended."""

    session: int
    worker: str
    incarnation: str
    epoch: int
    state: str
    revision: int = 1


def create_many(rows: Iterable[Active]) -> None:
    """Record new assignments; the database refuses a second active one."""
    now = micros(utc_now())
    execute_many(
        "INSERT INTO session_assignments"
        " (session_id, worker, incarnation, epoch, revision, state, reason, assigned_at)"
        " VALUES (?, ?, ?, ?, ?, 'assigned', '', ?)",
        [(it.session, it.worker, it.incarnation, it.epoch, it.revision, now) for it in rows],
    )


def mark_running(rows: Sequence[tuple[int, int]]) -> None:
    """Note that sessions run, given as (session, epoch)."""
    now = micros(utc_now())
    execute_many(
        "UPDATE session_assignments SET state = 'running', running_at = ?"
        " WHERE session_id = ? AND epoch = ? AND state = 'assigned'",
        [(now, session, epoch) for session, epoch in rows],
    )


def mark_stopping(rows: Sequence[tuple[int, int]]) -> None:
    """Note that sessions were told to stop, given as (session, epoch)."""
    execute_many(
        "UPDATE session_assignments SET state = 'stopping'"
        " WHERE session_id = ? AND epoch = ? AND state IN ('assigned', 'running')",
        list(rows),
    )


def end_many(rows: Sequence[tuple[int, int]], reason: str) -> None:
    """Note that sessions no longer run on their node, given as (session, epoch)."""
    now = micros(utc_now())
    execute_many(
        "UPDATE session_assignments SET state = 'ended', ended_at = ?, reason = ?"
        " WHERE session_id = ? AND epoch = ? AND state <> 'ended'",
        [(now, reason, session, epoch) for session, epoch in rows],
    )


def active() -> list[Active]:
    """Return every assignment that has not ended."""
    query = SessionAssignment.select(
        SessionAssignment.session_id, SessionAssignment.worker, SessionAssignment.incarnation,
        SessionAssignment.epoch, SessionAssignment.state, SessionAssignment.revision,
    ).where(SessionAssignment.state != "ended")  # fmt: skip
    return [Active(*row) for row in query.tuples()]


def wanted_stops() -> list[Active]:
    """Return assignments that should end: unwanted, or with rules of before."""
    query = (
        SessionAssignment.select(
            SessionAssignment.session_id, SessionAssignment.worker,
            SessionAssignment.incarnation, SessionAssignment.epoch, SessionAssignment.state,
        )
        .join(Session)
        .where(
            SessionAssignment.state.in_(("assigned", "running")),
            (Session.wanted != "running") | (Session.revision > SessionAssignment.revision),
        )
    )  # fmt: skip
    return [Active(*row) for row in query.tuples()]
