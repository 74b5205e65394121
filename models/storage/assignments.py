"""Assignments: which node runs a session, under which epoch.

A session's assignment goes assigned → running → (stopping →) ended. A call with
any other step is refused as a whole. All calls that write belong into a
transaction that began with ``cluster.hold``; only the coordinator's
AssignmentTable makes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from models import paging
from models.base import execute, execute_many, insert_many, micros, utc_now
from models.paging import Page
from models.prepared import Prepared
from models.tables import Session, SessionAssignment
from models.transitions import refuse

_PART = 400
_prepared = Prepared()
_REACHED = {
    "running": {"running", "stopping"},
    "stopping": {"stopping"},
    "ended": {"ended"},
}
"""Target state → the states that a row may have after the step."""


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
    insert_many(
        "session_assignments",
        (
            "session_id",
            "worker",
            "incarnation",
            "epoch",
            "revision",
            "state",
            "reason",
            "assigned_at",
        ),
        [
            (it.session, it.worker, it.incarnation, it.epoch, it.revision, "assigned", "", now)
            for it in rows
        ],
    )


def mark_running(rows: Sequence[tuple[int, int]]) -> None:
    """Note that sessions run, given as (session, epoch); a repeated call changes nothing.

    Raises TransitionError, for all of them, when one has ended.
    """
    now = micros(utc_now())
    execute_many(
        "UPDATE session_assignments SET state = 'running', running_at = ?"
        " WHERE session_id = ? AND epoch = ? AND state = 'assigned'",
        [(now, session, epoch) for session, epoch in rows],
    )
    _check(rows, "running")


def mark_stopping(rows: Sequence[tuple[int, int]]) -> None:
    """Note that sessions are to stop, given as (session, epoch).

    Raises TransitionError, for all of them, when one has ended.
    """
    execute_many(
        "UPDATE session_assignments SET state = 'stopping'"
        " WHERE session_id = ? AND epoch = ? AND state IN ('assigned', 'running')",
        rows,
    )
    _check(rows, "stopping")


def end_many(rows: Sequence[tuple[int, int]], reason: str) -> None:
    """Note that sessions no longer run on their node, given as (session, epoch)."""
    now = micros(utc_now())
    execute_many(
        "UPDATE session_assignments SET state = 'ended', ended_at = ?, reason = ?"
        " WHERE session_id = ? AND epoch = ? AND state <> 'ended'",
        [(now, reason, session, epoch) for session, epoch in rows],
    )
    _check(rows, "ended")


def end_all(reason: str) -> int:
    """End every assignment, after a restore; returns how many there were."""
    return int(
        SessionAssignment.update(state="ended", ended_at=utc_now(), reason=reason)
        .where(SessionAssignment.state != "ended")
        .execute()
    )


def active() -> list[Active]:
    """Return every assignment that has not ended."""
    return _read(_active())


def active_page(beyond: int, limit: int) -> list[Active]:
    """Return such assignments by session, those after session ``beyond``."""
    table = SessionAssignment
    return _read(_active().where(table.session > beyond).order_by(table.session).limit(limit))


def active_of(ids: Sequence[int]) -> list[Active]:
    """Return the assignments of sessions that have not ended."""
    return [
        it
        for start in range(0, len(ids), _PART)
        for it in _read(
            _active().where(SessionAssignment.session.in_(list(ids[start : start + _PART])))
        )
    ]


def _active() -> Any:
    return SessionAssignment.select(
        SessionAssignment.session_id,
        SessionAssignment.worker,
        SessionAssignment.incarnation,
        SessionAssignment.epoch,
        SessionAssignment.state,
        SessionAssignment.revision,
    ).where(SessionAssignment.state != "ended")


def _read(query: Any) -> list[Active]:
    return [Active(*row) for row in query.tuples()]


def undesired(
    beyond: int = 0, to: int | None = None, *, only: Sequence[int] | None = None
) -> list[Active]:
    """Return assignments that should end: paused or removed sessions, and old revisions.

    Those of sessions after ``beyond``, up to ``to``; None: up to the last one. ``only``
    some hundred of them, if that is said.
    """
    query = (
        SessionAssignment.select(
            SessionAssignment.session_id,
            SessionAssignment.worker,
            SessionAssignment.incarnation,
            SessionAssignment.epoch,
            SessionAssignment.state,
        )
        .join(Session)
        .where(
            SessionAssignment.state.in_(("assigned", "running")),
            # It follows, and lets the database use the index of what has not ended.
            SessionAssignment.state != "ended",
            SessionAssignment.session > beyond,
            (Session.desired_state != "running") | (Session.revision > SessionAssignment.revision),
        )
    )
    if to is not None:
        query = query.where(SessionAssignment.session <= to)
    if only is not None:
        query = query.where(SessionAssignment.session.in_(list(only)))
    return _read(query)


def sessions_on(worker: str) -> list[int]:
    """Return the sessions that a node has."""
    query = SessionAssignment.select(SessionAssignment.session_id).where(
        SessionAssignment.worker == worker, SessionAssignment.state != "ended"
    )
    return [int(it) for (it,) in query.order_by(SessionAssignment.session_id).tuples()]


def history(session: Session, *, before: int | None = None, limit: int = 20) -> Page:
    """Return a session's assignments, the newest first."""
    query = paging.Query(lambda: _history(session), SessionAssignment.id)
    return paging.fetch_prepared(
        query, _prepared, "history", [session.id], after=before, limit=limit, newest_first=True
    )


def _history(session: Session) -> Any:
    table = SessionAssignment
    return table.select(
        table.id,
        table.worker.alias("node"),
        table.epoch,
        table.state,
        table.reason,
        table.assigned_at,
        table.running_at,
        table.ended_at,
    ).where(table.session == session)


def prune(before: datetime, most: int) -> int:
    """Remove assignments that ended before an instant; returns how many.

    The last one of each session stays: placement reads its previous node from it.
    """
    cursor = execute(
        "DELETE FROM session_assignments WHERE id IN ("
        " SELECT old.id FROM session_assignments AS old"
        " WHERE old.ended_at < ? AND EXISTS (SELECT 1 FROM session_assignments AS newer"
        "  WHERE newer.session_id = old.session_id AND newer.epoch > old.epoch)"
        " ORDER BY old.ended_at LIMIT ?)",
        micros(before),
        most,
    )
    return int(cursor.rowcount)


def _check(rows: Sequence[tuple[int, int]], target: str) -> None:
    """Raise TransitionError when a row is not in the target state; missing rows are ignored."""
    for start in range(0, len(rows), _PART):
        part = rows[start : start + _PART]
        wanted = set(part)
        query: Any = SessionAssignment.select(
            SessionAssignment.session_id, SessionAssignment.epoch, SessionAssignment.state
        ).where(
            SessionAssignment.session_id.in_([session for session, _ in part]),
            SessionAssignment.epoch.in_([epoch for _, epoch in part]),
            SessionAssignment.state.not_in(_REACHED[target]),
        )
        for session, epoch, state in query.tuples():
            if (session, epoch) in wanted:
                raise refuse("assignment", f"of session {session}", state, target)
