"""What the leader does with tasks: chooses those to publish, and notes what became of them.

Each call that writes belongs into a transaction of the leader's term.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from models.base import execute, execute_many, instant, micros, utc_now

UNTIL_SESSION_RUNS = datetime(9999, 1, 1, tzinfo=UTC)
"""``run_after`` of a task whose session runs on no node."""
_COLUMNS = (
    "id, kind, priority, user_id, session_id, is_for_session, publication, worker, incarnation,"
    " arguments, cursor, attempts, max_attempts, timeout_seconds, cancelling, start_by, state,"
    " published_at, started_at, pausing"
)
_USERS = (
    "WITH RECURSIVE found(one) AS ("
    " SELECT MIN(user_id) FROM worker_tasks WHERE state = 'queued' AND priority = ?"
    " UNION ALL"
    " SELECT (SELECT MIN(user_id) FROM worker_tasks"
    "  WHERE state = 'queued' AND priority = ? AND user_id > found.one)"
    " FROM found WHERE found.one IS NOT NULL)"
    " SELECT one FROM found WHERE one IS NOT NULL"
)
_GIVEN_OUT = "state IN ('published', 'running')"
_LATE = "state IN ('waiting', 'queued') AND start_by < ? AND started_at IS NULL"


@dataclass(slots=True, frozen=True)
class OpenTask:
    """A task that has not finished, as the leader needs it."""

    id: int
    kind: str
    priority: int
    user: int
    session: int | None
    is_for_session: bool
    publication: int
    worker: str
    incarnation: str
    arguments: str
    cursor: str
    attempts: int
    max_attempts: int
    timeout_seconds: int
    cancelling: bool
    start_by: datetime | None
    state: str
    published_at: datetime | None
    started_at: datetime | None
    pausing: bool = False

    @property
    def is_stopping(self) -> bool:
        """Whether somebody has asked to cancel it, or to pause it."""
        return self.cancelling or self.pausing

    @property
    def standing(self) -> Standing:
        """What decides about it once its run has ended."""
        known = self.publication, self.attempts, self.max_attempts, self.cancelling, self.session
        return Standing(*known, is_given_out=True, pausing=self.pausing)

    def is_late(self, now: datetime) -> bool:
        """Return whether the deadline for its start has passed before it has ever started."""
        return self.start_by is not None and self.start_by < now and self.started_at is None


@dataclass(slots=True, frozen=True)
class Publication:
    """A task that is given to Redis, for one incarnation of a node or for any."""

    id: int
    number: int
    worker: str = ""
    incarnation: str = ""


@dataclass(slots=True, frozen=True)
class Ended:
    """How one publication of a task ended."""

    id: int
    publication: int
    state: str
    """``succeeded``, ``failed`` or ``cancelled``; ``queued`` or ``waiting``: once more."""
    result: str | None = None
    """JSON."""
    error: str = ""
    worker: str = ""
    incarnation: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    run_after: datetime | None = None
    attempts: int = 0
    """How many attempts it cost: 1, or 0."""


def has_queued() -> bool:
    """Return whether any task is queued."""
    return bool(execute("SELECT 1 FROM worker_tasks WHERE state = 'queued' LIMIT 1").fetchone())


def has_due(now: datetime) -> bool:
    """Return whether the time of a task that waits has come."""
    statement = "SELECT 1 FROM worker_tasks WHERE state = 'waiting' AND run_after <= ? LIMIT 1"
    return bool(execute(statement, micros(now)).fetchone())


def published_counts() -> dict[int, int]:
    """Return how many tasks of each priority Redis has, that are not known to run."""
    cursor = execute(
        f"SELECT priority, COUNT(*) FROM worker_tasks WHERE {_GIVEN_OUT}"
        " AND state = 'published' GROUP BY priority"
    )
    return {int(priority): int(count) for priority, count in cursor.fetchall()}


def users_waiting(priority: int) -> list[int]:
    """Return the users who have tasks in a queue; each costs one look into an index."""
    return [int(it) for (it,) in execute(_USERS, priority, priority).fetchall()]


def task_shares(users: Sequence[int]) -> dict[int, int]:
    """Return the shares of users in a queue; of those whose share is not 1."""
    found: dict[int, int] = {}
    for start in range(0, len(users), 500):
        part = users[start : start + 500]
        cursor = execute(
            "SELECT id, task_share FROM users WHERE task_share <> 1"
            f" AND id IN ({', '.join('?' * len(part))})",
            *part,
        )
        found |= {int(user): int(share) for user, share in cursor.fetchall()}
    return found


def oldest(priority: int, user: int, limit: int) -> list[OpenTask]:
    """Return a user's oldest queued tasks of a priority."""
    cursor = execute(
        f"SELECT {_COLUMNS} FROM worker_tasks WHERE state = 'queued' AND priority = ?"
        " AND user_id = ? ORDER BY id LIMIT ?",
        priority,
        user,
        limit,
    )
    return [_task(row) for row in cursor.fetchall()]


def given_out(beyond: int = 0, limit: int = 1000) -> list[OpenTask]:
    """Return tasks that Redis or a node has, by id."""
    cursor = execute(
        f"SELECT {_COLUMNS} FROM worker_tasks WHERE {_GIVEN_OUT} AND id > ? ORDER BY id LIMIT ?",
        beyond,
        limit,
    )
    return [_task(row) for row in cursor.fetchall()]


def given_out_by_session(sessions: Sequence[int]) -> dict[int, int]:
    """Return how many tasks of each session Redis or a node has."""
    if not sessions:
        return {}
    marks = ", ".join("?" * len(sessions))
    cursor = execute(
        f"SELECT session_id, COUNT(*) FROM worker_tasks WHERE {_GIVEN_OUT}"
        f" AND session_id IN ({marks}) GROUP BY session_id",
        *sessions,
    )
    return {int(session): int(count) for session, count in cursor.fetchall()}


def publish(rows: Sequence[Publication], at: datetime) -> set[int]:
    """Note that tasks are given to Redis; returns their ids.

    A task that is not queued any more is not among them: somebody has cancelled it.
    """
    execute_many(
        "UPDATE worker_tasks SET state = 'published', publication = ?, worker = ?,"
        " incarnation = ?, published_at = ?, error = ''"
        " WHERE id = ? AND state = 'queued' AND publication = ?",
        [(it.number, it.worker, it.incarnation, micros(at), it.id, it.number - 1) for it in rows],
    )
    numbers = {it.id: it.number for it in rows}
    return {
        it
        for it, standing in standings(list(numbers)).items()
        if standing.is_given_out and standing.publication == numbers[it]
    }


def hold(ids: Iterable[int], until: datetime = UNTIL_SESSION_RUNS) -> None:
    """Let queued tasks wait: until a time, or until their session runs."""
    execute_many(
        "UPDATE worker_tasks SET state = 'waiting', run_after = ?"
        " WHERE id = ? AND state = 'queued'",
        [(micros(until), it) for it in ids],
    )


def release_due(now: datetime) -> int:
    """Queue the tasks whose time has come; returns how many."""
    cursor = execute(
        "UPDATE worker_tasks SET state = 'queued' WHERE state = 'waiting' AND run_after <= ?",
        micros(now),
    )
    return int(cursor.rowcount)


def release_of_sessions(counts: Mapping[int, int]) -> None:
    """Queue so many of the tasks that wait for each session, the oldest first."""
    execute_many(
        "UPDATE worker_tasks SET state = 'queued', run_after = ? WHERE id IN ("
        "SELECT id FROM worker_tasks WHERE state = 'waiting' AND session_id = ?"
        " AND run_after >= ? ORDER BY id LIMIT ?)",
        [
            (micros(utc_now()), it, micros(UNTIL_SESSION_RUNS), count)
            for it, count in counts.items()
        ],
    )


def sessions_waited_for() -> list[int]:
    """Return the sessions that tasks wait for; 0 stands for those that were removed."""
    cursor = execute(
        "SELECT DISTINCT COALESCE(session_id, 0) FROM worker_tasks WHERE state = 'waiting'"
        " AND run_after >= ?",
        micros(UNTIL_SESSION_RUNS),
    )
    return [int(it) for (it,) in cursor.fetchall()]


def release_of_removed_sessions() -> None:
    """Queue the tasks whose sessions were removed, so that they end."""
    execute(
        "UPDATE worker_tasks SET state = 'queued', run_after = ? WHERE state = 'waiting'"
        " AND run_after >= ? AND session_id IS NULL",
        micros(utc_now()),
        micros(UNTIL_SESSION_RUNS),
    )


def note_started(rows: Sequence[tuple[int, int, str, str, datetime]]) -> None:
    """Note which tasks run: (id, publication, worker, incarnation, since when).

    None has started before it was published: a node's clock may be minutes behind.
    """
    execute_many(
        "UPDATE worker_tasks SET state = 'running', worker = ?, incarnation = ?,"
        " started_at = CASE WHEN published_at > ? THEN published_at ELSE ? END"
        " WHERE id = ? AND publication = ? AND state = 'published'",
        [
            (worker, incarnation, micros(at), micros(at), number, publication)
            for number, publication, worker, incarnation, at in rows
        ],
    )


def note_progress(rows: Sequence[tuple[int, int, float, str]]) -> None:
    """Note how far tasks have come: (id, publication, share, cursor as JSON)."""
    execute_many(
        "UPDATE worker_tasks SET progress = ?, cursor = ?"
        f" WHERE id = ? AND publication = ? AND {_GIVEN_OUT}",
        [
            (min(1.0, max(0.0, share)), cursor, number, publication)
            for number, publication, share, cursor in rows
        ],
    )


def note_ended(rows: Sequence[Ended]) -> None:
    """Note how publications ended; what is of an earlier publication changes nothing."""
    execute_many(
        "UPDATE worker_tasks SET state = ?, result = ?,"
        " error = CASE WHEN ? = '' AND ? IN ('cancelled', 'paused')"  # who asked for it
        " THEN error ELSE ? END,"
        " attempts = attempts + ?,"
        " worker = ?, incarnation = ?, run_after = COALESCE(?, run_after),"
        " started_at = COALESCE(CASE WHEN published_at > ? THEN published_at ELSE ? END,"
        " started_at), finished_at = ?,"
        " progress = CASE WHEN ? = 'succeeded' THEN 1.0 ELSE progress END"
        f" WHERE id = ? AND publication = ? AND {_GIVEN_OUT}",
        [
            (
                it.state,
                it.result,
                it.error,
                it.state,
                it.error,
                it.attempts,
                it.worker,
                it.incarnation,
                _micros(it.run_after),
                _micros(it.started_at),
                _micros(it.started_at),
                _micros(it.finished_at),
                it.state,
                it.id,
                it.publication,
            )
            for it in rows
        ],
    )


def has_late(now: datetime) -> bool:
    """Return whether the deadline for the start of a task that no node has is over."""
    statement = f"SELECT 1 FROM worker_tasks WHERE {_LATE} LIMIT 1"
    return bool(execute(statement, micros(now)).fetchone())


def cancel_late(now: datetime, reason: str) -> int:
    """Cancel the tasks that have not started before their deadlines; returns how many."""
    cursor = execute(
        f"UPDATE worker_tasks SET state = 'cancelled', error = ?, finished_at = ? WHERE {_LATE}",
        reason,
        micros(now),
        micros(now),
    )
    return int(cursor.rowcount)


def ended_of_kind(
    kind: str, since: datetime, limit: int, *, below: int = 0
) -> list[tuple[int, int, int]]:
    """Return (id, publication, session) of tasks of sessions that a node may not know to be over.

    They are paused, or were cancelled or failed since a time; the newest first, or those
    with numbers below one.
    """
    cursor = execute(
        "SELECT id, publication, session_id FROM worker_tasks WHERE kind = ?"
        " AND state IN ('paused', 'cancelled', 'failed')"
        " AND (finished_at IS NULL OR finished_at > ?) AND session_id IS NOT NULL AND id < ?"
        " ORDER BY id DESC LIMIT ?",
        kind,
        micros(since),
        below or 2**63 - 1,
        limit,
    )
    return [(int(it), int(number), int(session)) for it, number, session in cursor.fetchall()]


def fail_queued(ids: Sequence[int], state: str, reason: str) -> None:
    """End queued tasks that will never run: ``failed`` or ``cancelled``."""
    now = micros(utc_now())
    execute_many(
        "UPDATE worker_tasks SET state = ?, error = ?, finished_at = ?"
        " WHERE id = ? AND state = 'queued'",
        [(state, reason, now, it) for it in ids],
    )


@dataclass(slots=True, frozen=True)
class Standing:
    """What decides about a task once a run of it has ended."""

    publication: int
    attempts: int
    max_attempts: int
    cancelling: bool
    session: int | None
    is_given_out: bool
    pausing: bool = False


def standings(ids: Sequence[int]) -> dict[int, Standing]:
    """Return how tasks stand, by id."""
    found: dict[int, Standing] = {}
    for start in range(0, len(ids), 500):
        part = list(ids[start : start + 500])
        cursor = execute(
            "SELECT id, publication, attempts, max_attempts, cancelling, session_id, state, pausing"
            " FROM worker_tasks"
            f" WHERE id IN ({', '.join('?' * len(part))})",
            *part,
        )
        for row in cursor.fetchall():
            number, publication, attempts, most, cancelling, session, state, pausing = row
            found[int(number)] = Standing(
                publication,
                attempts,
                most,
                bool(cancelling),
                session,
                state in ("published", "running"),
                bool(pausing),
            )
    return found


def _micros(value: datetime | None) -> int | None:
    return None if value is None else micros(value)


def _task(row: Any) -> OpenTask:
    return OpenTask(
        id=row[0],
        kind=row[1],
        priority=row[2],
        user=row[3],
        session=row[4],
        is_for_session=bool(row[5]),
        publication=row[6],
        worker=row[7],
        incarnation=row[8],
        arguments=row[9],
        cursor=row[10],
        attempts=row[11],
        max_attempts=row[12],
        timeout_seconds=row[13],
        cancelling=bool(row[14]),
        start_by=None if row[15] is None else instant(row[15]),
        state=row[16],
        published_at=None if row[17] is None else instant(row[17]),
        started_at=None if row[18] is None else instant(row[18]),
        pausing=bool(row[19]),
    )
