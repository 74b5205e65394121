"""Schedules of tasks, and what was submitted by each at its last time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import peewee

from afx.errors import ConflictError, NotFoundError
from models import names, paging
from models.base import transaction, utc_now
from models.paging import Page
from models.tables import WorkerTask
from models.task_tables import TaskSchedule


@dataclass(slots=True, frozen=True, kw_only=True)
class NewSchedule:
    """A schedule to be added."""

    name: str
    kind: str
    cron: str
    arguments: str
    sessions: Sequence[int] | None
    user: int
    priority: int
    premium_priority: int
    max_attempts: int
    timeout_seconds: int
    overlap: str
    catch_up: str
    pause_after: int
    next_at: datetime


def add(new: NewSchedule, actor: str) -> int:
    """Add a schedule; returns its id. Raises ConflictError when its name is taken."""
    names.check_name("schedule", new.name)
    try:
        with transaction():
            made = TaskSchedule.create(
                name=new.name,
                user_id=new.user,
                kind=new.kind,
                cron=new.cron,
                arguments=new.arguments,
                sessions=None if new.sessions is None else list(new.sessions),
                priority=new.priority,
                premium_priority=new.premium_priority,
                max_attempts=new.max_attempts,
                timeout_seconds=new.timeout_seconds,
                overlap=new.overlap,
                catch_up=new.catch_up,
                pause_after=new.pause_after,
                actor=actor,
                next_at=new.next_at,
            )
    except peewee.IntegrityError as error:
        raise ConflictError(
            f"There is a schedule '{new.name}' already; choose another name."
        ) from error
    return int(made.id)


def find(name: str, *, user: int | None = None) -> TaskSchedule:
    """Return a schedule by name; raises NotFoundError when there is none (of a user)."""
    found: TaskSchedule | None = None
    if name.isprintable():  # Postgres takes no NUL
        found = TaskSchedule.get_or_none(TaskSchedule.name == name)
    if found is None or (user is not None and found.user_id != user):
        raise NotFoundError(
            f"There is no schedule '{name[:100]}'; 'afx task schedule list' shows them."
        )
    return found


def remove(schedule: TaskSchedule) -> None:
    """Remove a schedule; its tasks stay."""
    TaskSchedule.delete().where(TaskSchedule.id == schedule.id).execute()


def set_paused(schedule: TaskSchedule, paused: bool, next_at: datetime) -> None:
    """Pause a schedule, or let it go on at a time."""
    TaskSchedule.update(paused=paused, failures=0, note="", next_at=next_at).where(
        TaskSchedule.id == schedule.id
    ).execute()


def listing(*, after: str | None = None, limit: int = 100, user: int | None = None) -> Page:
    """Return schedules by name."""
    query = TaskSchedule.select()
    if user is not None:
        query = query.where(TaskSchedule.user_id == user)
    return paging.fetch(query, TaskSchedule.name, after=after, limit=limit)


def due(now: datetime, limit: int = 50) -> list[TaskSchedule]:
    """Return the schedules whose time has come."""
    return list(
        TaskSchedule.select()
        .where((~TaskSchedule.paused) & (TaskSchedule.next_at <= now))
        .order_by(TaskSchedule.next_at)
        .limit(limit)
    )


def states_of_last(schedule: TaskSchedule) -> set[str]:
    """Return the states of the tasks that were submitted at the last time.

    A later task is another one: SQLite gives out the id of the newest one that was pruned again.
    """
    if schedule.batch_id is None or schedule.last_at is None:
        return set()
    query = WorkerTask.select(WorkerTask.state).distinct()
    query = query.where(
        (WorkerTask.id == schedule.batch_id) | (WorkerTask.batch_id == schedule.batch_id),
        WorkerTask.created_at <= schedule.last_at,
    )
    return {str(state) for (state,) in query.tuples()}


def advance(schedule: TaskSchedule, **fields: Any) -> None:
    """Note what a time has brought, and when the next one is."""
    TaskSchedule.update(last_at=utc_now(), **fields).where(TaskSchedule.id == schedule.id).execute()
