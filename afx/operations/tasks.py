"""Tasks: what was submitted, how far it is, and what became of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from afx.cluster.task_jobs import PRIORITIES
from afx.errors import NotFoundError
from afx.operations.changes import change
from afx.operations.context import Context, operation
from afx.operations.pages import Page, page_of
from afx.tasks.kinds import KINDS
from models.base import utc_now
from models.storage import sessions, task_logs, task_quotas, tasks, users
from models.storage.task_logs import LogLine
from models.storage.task_queue import UNTIL_SESSION_RUNS

KIND_NAMES = tuple(sorted(KINDS))
_NO_SESSION = "its session runs on no node now, or has enough other tasks"
_POLL_SECONDS = 0.1
_MOST_FOLLOWED = 500
"""Tasks whose lines are shown together."""


@dataclass(slots=True, frozen=True)
class KindRow:
    """One kind of task."""

    name: str
    summary: str
    priority: str
    max_attempts: int
    timeout_seconds: int
    needs_session: bool
    idempotence: str
    arguments: Mapping[str, Any]
    """Their JSON schema."""
    result: Mapping[str, Any]
    """Its JSON schema."""


@dataclass(slots=True, frozen=True)
class TaskRow:
    """One task of a list."""

    id: int
    kind: str
    state: str
    priority: str
    batch: int | None
    session: str | None
    worker: str
    attempts: int
    progress: float
    error: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(slots=True, frozen=True)
class TaskDetail:
    """One task, with its arguments and its result."""

    task: TaskRow
    arguments: Mapping[str, Any] | None
    """None: they are sealed."""
    result: Any
    cursor: str
    max_attempts: int
    timeout_seconds: int
    unique_key: str | None
    cancelling: bool
    pausing: bool
    actor: str
    run_after: datetime
    start_by: datetime | None
    published_at: datetime | None


@operation("task:read", owned=True, database=False)
def kinds(context: Context) -> list[KindRow]:
    """Return the kinds of tasks, by name."""
    del context
    return [
        KindRow(
            name=it.name,
            summary=it.summary,
            priority=it.priority,
            max_attempts=it.max_attempts,
            timeout_seconds=it.timeout_seconds,
            needs_session=it.needs_session,
            idempotence=str(it.idempotence),
            arguments=it.arguments.model_json_schema(),
            result=it.result.model_json_schema(),
        )
        for it in sorted(KINDS.values(), key=lambda one: one.name)
    ]


@operation("task:read", owned=True, database=False)
def explain(context: Context, name: str) -> KindRow:
    """Return one kind of task; raises NotFoundError when there is none."""
    found = {it.name: it for it in kinds(context)}.get(name)
    if found is None:
        raise NotFoundError(f"There is no such kind of task; it is one of {', '.join(KIND_NAMES)}.")
    return found


@operation("task:read", owned=True)
def listing(
    context: Context,
    *,
    after: int | None = None,
    limit: int = 100,
    kind: str | None = None,
    state: str | None = None,
    session: str | None = None,
    batch: int | None = None,
    sort: str = "-id",
) -> Page[TaskRow]:
    """Return tasks, the newest first, or in the order of their ids."""
    owner = context.actor.owner
    found = tasks.listing(
        before=after,
        limit=limit,
        kind=kind,
        state=state,
        session=None if session is None else sessions.find(session, owner=owner).id,
        batch=batch,
        user=owner_id(context),
        sort=sort,
    )
    return page_of(_row, found)


@operation("task:read", owned=True)
def show(context: Context, task_id: int) -> TaskDetail:
    """Return one task; raises NotFoundError when there is none."""
    return _detail(_find(context, task_id))


@dataclass(slots=True, frozen=True)
class Step:
    """One thing that happened to a task."""

    at: datetime
    step: str
    text: str


@operation("task:read", owned=True)
def steps(context: Context, task_id: int) -> list[Step]:
    """Return what happened to a task, in order."""
    task = _find(context, task_id)
    found = [Step(task["created_at"], "submitted", f"by {task['actor']}")]
    if task["published_at"] is not None:
        text = f"for the {task['publication']}. time" if task["publication"] > 1 else ""
        found.append(Step(task["published_at"], "published", text))
    found += [Step(it.at, "log", it.text) for it in task_logs.lines([task_id])]
    if task["started_at"] is not None:
        found.append(Step(task["started_at"], "started", f"on {task['worker'] or 'a node'}"))
    if task["state"] == "waiting" and task["run_after"] < UNTIL_SESSION_RUNS:
        found.append(Step(task["run_after"], "next attempt", task["error"]))
    if task["finished_at"] is not None:
        found.append(Step(task["finished_at"], task["state"], task["error"]))
    found.sort(key=lambda it: it.at)
    if task["state"] == "waiting" and task["run_after"] >= UNTIL_SESSION_RUNS:
        found.append(Step(utc_now(), "waits", _NO_SESSION))
    return found


@operation("task:read", owned=True)
def log_lines(context: Context, ids: Sequence[int], *, beyond: int = 0) -> list[LogLine]:
    """Return the lines that tasks have logged after the line ``beyond``, in order."""
    for it in ids:
        _find(context, it)
    return task_logs.lines(ids[:_MOST_FOLLOWED], beyond=beyond)


@operation("task:read", owned=True)
def watch(
    context: Context,
    ids: Sequence[int],
    *,
    timeout: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[tuple[TaskDetail, ...]]:
    """Yield how far tasks are: at once, and then until all have finished or time is up."""
    for it in ids:
        _find(context, it)
    return _snapshots(ids, clock() + timeout, clock, sleep)


@operation("task:write", owned=True)
def cancel(context: Context, task_id: int) -> str:
    """Cancel a task; returns what that means, in a sentence.

    Raises TransitionError when it has finished.
    """
    task = _find(context, task_id)
    with change(context, "task.cancel", f"task/{task_id}") as details:
        state = tasks.cancel(task_id, f"cancelled by {context.actor.name}")
        details.update({"kind": task["kind"], "before": {"state": task["state"]}})
    if state == "cancelled":
        return f"task {task_id} ({task['kind']}) is cancelled"
    return f"task {task_id} ({task['kind']}) is being cancelled"


@operation("task:write", owned=True)
def pause(context: Context, task_id: int) -> str:
    """Pause a task until it is resumed; returns what that means, in a sentence.

    Raises TransitionError when it has finished, is paused, or is being cancelled.
    """
    task = _find(context, task_id)
    with change(context, "task.pause", f"task/{task_id}") as details:
        state = tasks.pause(task_id, f"paused by {context.actor.name}")
        details.update({"kind": task["kind"], "before": {"state": task["state"]}})
    if state == "paused":
        return f"task {task_id} ({task['kind']}) is paused; 'afx task resume {task_id}' resumes it"
    return f"task {task_id} ({task['kind']}) is being paused"


@operation("task:write", owned=True)
def resume(context: Context, task_id: int) -> str:
    """Queue a paused task again; it goes on where it was.

    Raises TransitionError for any other task.
    """
    task = _find(context, task_id)
    with change(context, "task.resume", f"task/{task_id}") as details:
        tasks.resume(task_id)
        details.update({"kind": task["kind"], "before": {"state": task["state"]}})
    return f"task {task_id} ({task['kind']}) is queued again"


@operation("task:write", owned=True)
def cancel_batch(context: Context, batch: int) -> int:
    """Cancel what has not finished of a batch; returns how many tasks.

    Raises NotFoundError when there is no such batch.
    """
    if _find(context, batch)["batch_id"] != batch:
        raise NotFoundError(
            f"Task {batch} is not the first one of a batch; 'afx task list' shows the batches."
        )
    with change(context, "task.cancel", f"batch/{batch}") as details:
        count = tasks.cancel_batch(
            batch, f"cancelled by {context.actor.name}", user=owner_id(context)
        )
        details["count"] = count
    return count


@operation("task:write", owned=True)
def retry(context: Context, task_id: int) -> str:
    """Queue a failed or cancelled task again; it goes on where it was.

    Raises TransitionError for any other task, and QuotaError.
    """
    task = _find(context, task_id)
    with change(context, "task.retry", f"task/{task_id}") as details:
        if task["state"] in tasks.FINISHED:
            task_quotas.check({task["user_id"]: 1})
        tasks.retry(task_id)
        details.update({"kind": task["kind"], "before": {"state": task["state"]}})
    return f"task {task_id} ({task['kind']}) is queued again"


def waits_for_session(it: TaskDetail) -> bool:
    """Return whether a task waits until its session runs on a node."""
    return it.task.state == "waiting" and it.run_after >= UNTIL_SESSION_RUNS


def owner_id(context: Context) -> int | None:
    """Return the user that the actor is limited to; None: it is not limited."""
    owner = context.actor.owner
    return int(users.find(owner, owner=owner).id) if owner else None


def _find(context: Context, task_id: int) -> dict[str, Any]:
    """Return a task; raises NotFoundError when there is none that the actor may see."""
    found = tasks.get(task_id)
    limited_to = owner_id(context)
    if limited_to is not None and found["user_id"] != limited_to:
        raise NotFoundError(f"There is no task {task_id}; 'afx task list' shows them.")
    return found


def _snapshots(
    ids: Sequence[int], until: float, clock: Callable[[], float], sleep: Callable[[float], None]
) -> Iterator[tuple[TaskDetail, ...]]:
    while True:
        found = tuple(_detail(tasks.get(it)) for it in ids)
        yield found
        if all(it.task.state in tasks.FINISHED for it in found) or clock() >= until:
            return
        sleep(_POLL_SECONDS)


def _row(**row: Any) -> TaskRow:
    return TaskRow(
        id=row["id"],
        kind=row["kind"],
        state=row["state"],
        priority=PRIORITIES[row["priority"]],
        batch=row["batch_id"],
        session=row["session"],
        worker=row["worker"],
        attempts=row["attempts"],
        progress=row["progress"],
        error=_why(row),
        created_at=row["created_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
    )


def _why(row: dict[str, Any]) -> str:
    """Return what is wrong with a task, or what it waits for."""
    waits = row["state"] == "waiting" and row["run_after"] >= UNTIL_SESSION_RUNS
    return str(row["error"]) or (_NO_SESSION if waits else "")


def _detail(task: dict[str, Any]) -> TaskDetail:
    return TaskDetail(
        task=_row(**{**task, "session": task["session_name"]}),
        arguments=tasks.arguments_of(task),
        result=task["result"],
        cursor=task["cursor"],
        max_attempts=task["max_attempts"],
        timeout_seconds=task["timeout_seconds"],
        unique_key=task["unique_key"],
        cancelling=task["cancelling"],
        pausing=task["pausing"] and task["state"] in ("published", "running"),
        actor=task["actor"],
        run_after=task["run_after"],
        start_by=task["start_by"],
        published_at=task["published_at"],
    )
