"""Tasks, as people and programs see them: submitted, listed, cancelled, tried again.

What the leader does with them is in ``task_queue.py``. The states and the steps between
them are in ``transitions.py``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import peewee
from peewee import JOIN, fn

from afx.errors import ConflictError, NotFoundError, UsageError
from models import sorting
from models.base import execute, micros, transaction, utc_now
from models.paging import Page
from models.sorting import Column
from models.states import TASK_STATES
from models.tables import Session, WorkerTask
from models.transitions import TASK, refuse, sources

_PART = 400
_ORDERS = {"id": Column(WorkerTask.id)}
"""Rows of one statement: SQLite takes 32,766 values."""
FINISHED = ("succeeded", "failed", "cancelled")
OPEN = ("waiting", "queued", "published", "running", "paused")
_UNPUBLISHED = ("waiting", "queued", "paused")


@dataclass(slots=True, frozen=True)
class NewTask:
    """A task to be queued."""

    kind: str
    session: int | None = None
    arguments: str = "{}"
    """A JSON object, or what a vault sealed."""
    priority: int = 2
    user: int = 0
    max_attempts: int = 3
    timeout_seconds: int = 600
    unique_key: str | None = None
    run_after: datetime | None = None
    start_by: datetime | None = None


def submit(new: Sequence[NewTask], actor: str) -> list[int]:
    """Queue tasks, as one batch if there are several; returns their ids.

    Inside the caller's transaction if there is one. Raises UsageError when a session does
    not exist, and when an unfinished task has the same unique key.
    """
    if not new:
        return []
    now = utc_now()
    with transaction():
        try:
            [first] = _insert(new[:1], actor, now, batch=None)
            ids = [first]
            for start in range(1, len(new), _PART):
                ids += _insert(new[start : start + _PART], actor, now, batch=first)
        except peewee.IntegrityError as error:
            raise _explained(new) from error
        if len(new) > 1:
            WorkerTask.update(batch_id=first).where(WorkerTask.id == first).execute()
    return ids


def _insert(new: Sequence[NewTask], actor: str, now: datetime, *, batch: int | None) -> list[int]:
    rows = [
        {
            "kind": it.kind,
            "state": "queued" if it.run_after is None or it.run_after <= now else "waiting",
            "session": it.session,
            "is_for_session": it.session is not None,
            "arguments": it.arguments,
            "priority": it.priority,
            "user_id": it.user,
            "max_attempts": it.max_attempts,
            "timeout_seconds": it.timeout_seconds,
            "unique_key": it.unique_key,
            "run_after": it.run_after or now,
            "start_by": it.start_by,
            "batch_id": batch,
            "actor": actor,
            "created_at": now,
        }
        for it in new
    ]
    found = WorkerTask.insert_many(rows).returning(WorkerTask.id).execute()
    return [int(it.id) for it in found]


def _explained(new: Sequence[NewTask]) -> UsageError:
    """Return why rows were refused; the transaction that they broke may be over."""
    if any(it.unique_key for it in new):
        return ConflictError(
            "A task of that unique key has not finished yet; wait for it, or cancel it first."
        )
    return UsageError("A session of these tasks was removed meanwhile; nothing was queued.")


def unfinished_of_key(unique_key: str) -> int | None:
    """Return the task of a unique key that has not finished, if any."""
    query = WorkerTask.select(WorkerTask.id).where(
        (WorkerTask.unique_key == unique_key) & WorkerTask.state.in_(OPEN)
    )
    found = query.tuples().get_or_none()
    return None if found is None else int(found[0])


def get(number: int) -> dict[str, Any]:
    """Return one task; raises NotFoundError when there is none."""
    found: dict[str, Any] | None = (
        WorkerTask.select(WorkerTask, Session.name.alias("session_name"))
        .join(Session, JOIN.LEFT_OUTER)
        .where(WorkerTask.id == number)
        .dicts()
        .get_or_none()
    )
    if found is None:
        raise NotFoundError(f"There is no task {number}; 'afx task list' shows them.")
    return found


def cancel(number: int, reason: str) -> str:
    """Cancel a task, or ask for it; returns "cancelled" or "cancelling".

    What Redis or a node may have is cancelled by the leader. Raises TransitionError when
    the task has finished.
    """
    with transaction():
        if cancel_unpublished(number, reason):
            return "cancelled"
        asked = (
            WorkerTask.update(cancelling=True, error=reason)
            .where((WorkerTask.id == number) & WorkerTask.state.in_(("published", "running")))
            .execute()
        )
        if asked:
            return "cancelling"
        raise _refused(number, "cancelled")


def cancel_unpublished(number: int, reason: str) -> bool:
    """Cancel a task that only SQL has; returns whether it was."""
    return bool(
        WorkerTask.update(state="cancelled", error=reason, finished_at=utc_now())
        .where((WorkerTask.id == number) & WorkerTask.state.in_(_UNPUBLISHED))
        .execute()
    )


def pause(number: int, reason: str) -> str:
    """Pause a task, or ask for it; returns "paused" or "pausing".

    What Redis or a node may have is paused by the leader, once its run has ended. Raises
    TransitionError when the task has finished, is paused, or is being cancelled.
    """
    with transaction():
        chosen = (WorkerTask.id == number) & (WorkerTask.cancelling == False)  # noqa: E712
        if (
            WorkerTask.update(state="paused", error=reason)
            .where(chosen & WorkerTask.state.in_(("waiting", "queued")))
            .execute()
        ):
            return "paused"
        if (
            WorkerTask.update(pausing=True, error=reason)
            .where(chosen & WorkerTask.state.in_(("published", "running")))
            .execute()
        ):
            return "pausing"
        raise _refused(number, "paused")


def resume(number: int) -> None:
    """Queue a paused task; it goes on at its cursor, with the attempts that it has left.

    A deadline for its start is over: who resumes it wants it, however long it was paused.
    Raises TransitionError for any other task, and for one of which the run has not ended yet.
    """
    with transaction():
        changed = (
            WorkerTask.update(
                state="queued", error="", pausing=False, run_after=utc_now(), start_by=None
            )
            .where((WorkerTask.id == number) & (WorkerTask.state == "paused"))
            .execute()
        )
        if not changed:
            raise _refused(number, "queued")


def cancel_batch(batch: int, reason: str, *, user: int | None = None) -> int:
    """Cancel what has not finished of a batch, as ``cancel`` does; returns how many."""
    chosen = WorkerTask.batch_id == batch
    if user is not None:
        chosen &= WorkerTask.user_id == user
    with transaction():
        count = (
            WorkerTask.update(state="cancelled", error=reason, finished_at=utc_now())
            .where(chosen & WorkerTask.state.in_(_UNPUBLISHED))
            .execute()
        )
        count += (
            WorkerTask.update(cancelling=True, error=reason)
            .where(chosen & WorkerTask.state.in_(("published", "running")))
            .execute()
        )
        return int(count)


def cancel_batch_or_one(first: int, reason: str) -> None:
    """Cancel a batch by its first task, or the one task that it is."""
    with transaction():
        cancel_batch(first, reason)
        WorkerTask.update(state="cancelled", error=reason, finished_at=utc_now()).where(
            (WorkerTask.id == first) & WorkerTask.state.in_(_UNPUBLISHED)
        ).execute()
        WorkerTask.update(cancelling=True, error=reason).where(
            (WorkerTask.id == first) & WorkerTask.state.in_(("published", "running"))
        ).execute()


def retry(number: int) -> None:
    """Queue a failed or cancelled task again, with all its attempts.

    It goes on at its cursor. Raises TransitionError for any other task, and UsageError
    when another task of its unique key has not finished.
    """
    with transaction():
        try:
            changed = (
                WorkerTask.update(
                    state="queued",
                    error="",
                    attempts=0,
                    cancelling=False,
                    pausing=False,
                    run_after=utc_now(),
                    start_by=None,
                    finished_at=None,
                )
                .where((WorkerTask.id == number) & WorkerTask.state.in_(sources(TASK, "queued")))
                .where(WorkerTask.state.in_(FINISHED))
                .execute()
            )
        except peewee.IntegrityError as error:
            raise UsageError(
                f"Another task of the unique key of task {number} has not finished yet."
            ) from error
        if not changed:
            raise _refused(number, "queued")


def _refused(number: int, target: str) -> Exception:
    task = WorkerTask.get_or_none(WorkerTask.id == number)
    return refuse("task", number, task and task.state, target)


def listing(
    *,
    before: int | None = None,
    limit: int = 100,
    kind: str | None = None,
    state: str | None = None,
    session: int | None = None,
    batch: int | None = None,
    user: int | None = None,
    sort: str = "-id",
) -> Page:
    """Return tasks, the newest first; raises UsageError for an unknown state."""
    if state is not None and state not in TASK_STATES:
        raise UsageError(f"There is no such state; it is one of {', '.join(TASK_STATES)}.")
    query = WorkerTask.select(
        WorkerTask.id,
        WorkerTask.kind,
        WorkerTask.state,
        WorkerTask.priority,
        WorkerTask.batch_id,
        Session.name.alias("session"),
        WorkerTask.worker,
        WorkerTask.attempts,
        WorkerTask.progress,
        WorkerTask.error,
        WorkerTask.run_after,
        WorkerTask.created_at,
        WorkerTask.started_at,
        WorkerTask.finished_at,
    ).join(Session, JOIN.LEFT_OUTER)
    chosen = {
        WorkerTask.kind: kind,
        WorkerTask.state: state,
        WorkerTask.session: session,
        WorkerTask.batch_id: batch,
        WorkerTask.user_id: user,
    }
    for column, value in chosen.items():
        if value is not None:
            query = query.where(column == value)
    return sorting.fetch(query, _ORDERS, sort, after=before, limit=limit)


def counts(priority: int | None = None, user: int | None = None) -> dict[tuple[int, str], int]:
    """Return how many tasks have not finished: (priority, state) → count."""
    query = WorkerTask.select(WorkerTask.priority, WorkerTask.state, fn.COUNT(WorkerTask.id))
    query = query.where(WorkerTask.state.in_(OPEN))
    if priority is not None:
        query = query.where(WorkerTask.priority == priority)
    if user is not None:
        query = query.where(WorkerTask.user_id == user)
    query = query.group_by(WorkerTask.priority, WorkerTask.state)
    return {(int(number), str(state)): int(count) for number, state, count in query.tuples()}


def finished_count() -> int:
    """Return how many tasks have finished, of those that are kept."""
    return int(WorkerTask.select().where(WorkerTask.finished_at.is_null(False)).count())


def oldest_queued(priority: int) -> datetime | None:
    """Return since when the oldest task of a queue waits to be run."""
    query = WorkerTask.select(fn.MIN(WorkerTask.run_after)).where(
        WorkerTask.state.in_(("queued", "published")), WorkerTask.priority == priority
    )
    found: datetime | None = query.scalar()
    return found


def oldest_by_priority() -> dict[int, datetime]:
    """Return since when the oldest task of each queue waits to be run; of those that have one."""
    query = (
        WorkerTask.select(WorkerTask.priority, fn.MIN(WorkerTask.run_after))
        .where(WorkerTask.state.in_(("queued", "published")))
        .group_by(WorkerTask.priority)
    )
    return {int(priority): since for priority, since in query.tuples()}


def cancel_queued(priority: int, reason: str, most: int = 10_000) -> int:
    """Cancel tasks of a queue that no node has yet; returns how many."""
    with transaction():
        chosen = (
            WorkerTask.select(WorkerTask.id)
            .where(WorkerTask.state.in_(("waiting", "queued")), WorkerTask.priority == priority)
            .limit(most)
        )
        return int(
            WorkerTask.update(state="cancelled", error=reason, finished_at=utc_now())
            .where(WorkerTask.id.in_(chosen))
            .execute()
        )


def retry_failed(priority: int, most: int = 10_000) -> int:
    """Queue failed tasks of a queue again; returns how many. Those of a unique key stay."""
    with transaction():
        chosen = (
            WorkerTask.select(WorkerTask.id)
            .where(
                WorkerTask.state == "failed",
                WorkerTask.priority == priority,
                WorkerTask.unique_key.is_null(),
            )
            .limit(most)
        )
        return int(
            WorkerTask.update(
                state="queued",
                error="",
                attempts=0,
                cancelling=False,
                pausing=False,
                run_after=utc_now(),
                start_by=None,
                finished_at=None,
            )
            .where(WorkerTask.id.in_(chosen))
            .execute()
        )


def arguments_of(task: dict[str, Any]) -> dict[str, Any] | None:
    """Return a task's arguments; None when they are sealed."""
    text = str(task["arguments"])
    if not text.startswith("{"):
        return None
    found: dict[str, Any] = json.loads(text)
    return found


def prune(before: datetime, most: int) -> int:
    """Remove tasks that finished before a time, with their logs; returns how many."""
    chosen = "SELECT id FROM worker_tasks WHERE finished_at < ? ORDER BY finished_at, id LIMIT ?"
    execute(f"DELETE FROM task_logs WHERE task_id IN ({chosen})", micros(before), most)
    cursor = execute(f"DELETE FROM worker_tasks WHERE id IN ({chosen})", micros(before), most)
    return int(cursor.rowcount)
