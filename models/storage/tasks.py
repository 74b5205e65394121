"""Tasks that nodes run on request, with their history and timings.

queued → running → succeeded | failed; running → queued to try again;
cancelled from queued or running; queued again by an operator
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from peewee import JOIN, fn

from afx.errors import UsageError
from models import paging
from models.base import execute, is_postgres, micros, transaction, utc_now
from models.paging import Page
from models.tables import TASK_STATES, Session, User, WorkerTask
from models.transitions import TASK, refuse, sources


@dataclass(slots=True, frozen=True)
class NewTask:
    """A task to be queued."""

    kind: str
    session: int | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    max_attempts: int = 3
    timeout_seconds: int = 600


def create(new: NewTask) -> WorkerTask:
    """Queue a task; tasks of premium users' sessions run first.

    Raises UsageError when there is no such session.
    """
    with transaction():
        priority = 1
        if new.session is not None:
            owner = Session.select(User.tier).join(User).where(Session.id == new.session)
            found = owner.tuples().get_or_none()
            if found is None:
                raise UsageError(f"There is no session {new.session}; nothing was queued.")
            priority = 0 if found[0] == "premium" else 1
        task: WorkerTask = WorkerTask.create(
            kind=new.kind,
            session=new.session,
            arguments=new.arguments,
            priority=priority,
            max_attempts=new.max_attempts,
            timeout_seconds=new.timeout_seconds,
        )
        return task


def claim(worker: str, incarnation: str, most: int) -> list[WorkerTask]:
    """Claim queued tasks that are due for a node; no task is claimed twice.

    Tasks of premium users come first, then the oldest.
    """
    with transaction():
        now = utc_now()
        chosen = (
            WorkerTask.select(WorkerTask.id)
            .where((WorkerTask.state == "queued") & (WorkerTask.run_after <= now))
            .order_by(WorkerTask.priority, WorkerTask.id)
            .limit(most)
        )
        if is_postgres():
            # Two claims at once each take rows that the other has not locked.
            chosen = chosen.for_update("FOR UPDATE SKIP LOCKED")
        ids = [number for (number,) in chosen.tuples()]
        WorkerTask.update(
            state="running",
            worker=worker,
            incarnation=incarnation,
            started_at=now,
            finished_at=None,
            progress=0.0,
            attempts=WorkerTask.attempts + 1,
        ).where(WorkerTask.id.in_(ids)).execute()
        query = WorkerTask.select().where(WorkerTask.id.in_(ids))
        return list(query.order_by(WorkerTask.priority, WorkerTask.id))


def get(number: int) -> dict[str, Any]:
    """Return one task; raises UsageError when there is none."""
    found: dict[str, Any] | None = (
        WorkerTask.select(WorkerTask, Session.name.alias("session_name"))
        .join(Session, JOIN.LEFT_OUTER)
        .where(WorkerTask.id == number)
        .dicts()
        .get_or_none()
    )
    if found is None:
        raise UsageError(f"There is no task {number}; 'afx task list' shows them.")
    return found


def note_progress(number: int, share: float) -> None:
    """Set the progress of a running task, 0 to 1; does nothing for a finished one."""
    WorkerTask.update(progress=min(1.0, max(0.0, share))).where(
        (WorkerTask.id == number) & (WorkerTask.state == "running")
    ).execute()


def succeed(number: int, result: Any) -> None:
    """Store the result of a running task; raises TransitionError when it does not run."""
    _step(number, "succeeded", result=result, progress=1.0, error="", finished_at=utc_now())


def fail(number: int, reason: str) -> None:
    """Store why a running task failed finally; raises TransitionError when it does not run."""
    _step(number, "failed", error=reason, finished_at=utc_now())


def try_again(number: int, reason: str, pause: timedelta) -> bool:
    """Queue a running task again after a pause; fails it when it has no attempt left.

    Returns whether it was queued. Raises TransitionError when it does not run.
    """
    with transaction():
        task = WorkerTask.get_or_none(WorkerTask.id == number)
        if task is not None and task.attempts >= task.max_attempts:
            fail(number, reason)
            return False
        if task is None or task.state != "running":
            raise refuse("task", number, task and task.state, "queued")
        _step(number, "queued", error=reason, run_after=utc_now() + pause)
        return True


def requeue(number: int) -> None:
    """Queue a failed or cancelled task again, with all its attempts.

    Raises TransitionError for a task that is queued, runs or has succeeded.
    """
    with transaction():
        task = WorkerTask.get_or_none(WorkerTask.id == number)
        if task is None or task.state not in ("failed", "cancelled"):
            raise refuse("task", number, task and task.state, "queued")
        _step(
            number,
            "queued",
            error="",
            attempts=0,
            progress=0.0,
            run_after=utc_now(),
            finished_at=None,
        )


def cancel(number: int, reason: str) -> None:
    """Cancel a task; raises TransitionError when it has finished."""
    _step(number, "cancelled", error=reason, finished_at=utc_now())


def requeue_lost(incarnations: Sequence[str]) -> int:
    """Queue tasks of dead nodes again; returns how many."""
    with transaction():
        return int(
            WorkerTask.update(state="queued", error="its node died", run_after=utc_now())
            .where(WorkerTask.incarnation.in_(list(incarnations)), WorkerTask.state == "running")
            .execute()
        )


def listing(
    *,
    before: int | None = None,
    limit: int = 100,
    kind: str | None = None,
    state: str | None = None,
    session: Session | None = None,
) -> Page:
    """Return tasks, the newest first; raises UsageError for an unknown state."""
    if state is not None and state not in TASK_STATES:
        raise UsageError(f"There is no such state; it is one of {', '.join(TASK_STATES)}.")
    query = WorkerTask.select(
        WorkerTask.id,
        WorkerTask.kind,
        WorkerTask.state,
        Session.name.alias("session"),
        WorkerTask.worker,
        WorkerTask.attempts,
        WorkerTask.progress,
        WorkerTask.error,
        WorkerTask.created_at,
        WorkerTask.started_at,
        WorkerTask.finished_at,
    ).join(Session, JOIN.LEFT_OUTER)
    if kind is not None:
        query = query.where(WorkerTask.kind == kind)
    if state is not None:
        query = query.where(WorkerTask.state == state)
    if session is not None:
        query = query.where(WorkerTask.session == session)
    return paging.fetch(query, WorkerTask.id, after=before, limit=limit, newest_first=True)


def count_by_state() -> dict[str, dict[str, int]]:
    """Return the number of tasks: kind → state → count."""
    query = WorkerTask.select(WorkerTask.kind, WorkerTask.state, fn.COUNT(WorkerTask.id)).group_by(
        WorkerTask.kind, WorkerTask.state
    )
    found: dict[str, dict[str, int]] = {}
    for kind, state, number in query.tuples():
        found.setdefault(str(kind), {})[str(state)] = int(number)
    return found


def prune(before: datetime, most: int) -> int:
    """Remove tasks that finished before a time; returns how many."""
    cursor = execute(
        "DELETE FROM worker_tasks WHERE id IN (SELECT id FROM worker_tasks"
        " WHERE finished_at < ? ORDER BY finished_at LIMIT ?)",
        micros(before),
        most,
    )
    return int(cursor.rowcount)


def _step(number: int, target: str, **fields: Any) -> None:
    with transaction():
        changed = (
            WorkerTask.update(state=target, **fields)
            .where((WorkerTask.id == number) & WorkerTask.state.in_(sources(TASK, target)))
            .execute()
        )
        if not changed:
            task = WorkerTask.get_or_none(WorkerTask.id == number)
            raise refuse("task", number, task and task.state, target)
