"""Schedules of tasks: submitted by the leader at the times of a cron expression."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from afx.cluster.task_jobs import PRIORITIES
from afx.coordinator.decisions.schedule_times import is_cron, next_time
from afx.errors import UsageError
from afx.operations.changes import change
from afx.operations.context import Context, operation
from afx.operations.pages import Page, page_of
from afx.operations.task_requests import TaskRequest, prepare
from afx.operations.tasks import owner_id
from models.base import utc_now
from models.storage import schedules
from models.storage.schedules import NewSchedule
from models.task_tables import CATCH_UPS, OVERLAPS


@dataclass(slots=True, frozen=True)
class ScheduleRow:
    """One schedule."""

    id: int
    name: str
    kind: str
    cron: str
    sessions: tuple[int, ...] | None
    """None: all of its user's."""
    priority: str
    overlap: str
    catch_up: str
    pause_after: int
    failures: int
    paused: bool
    note: str
    """What came of its last time, if no tasks did."""
    batch_id: int | None
    actor: str
    created_at: datetime
    next_at: datetime
    last_at: datetime | None


@operation("task:read", owned=True)
def listing(context: Context, *, after: str | None = None, limit: int = 100) -> Page[ScheduleRow]:
    """Return schedules by name."""
    return page_of(_row, schedules.listing(after=after, limit=limit, user=owner_id(context)))


@operation("task:write", owned=True)
def add(
    context: Context,
    name: str,
    cron: str,
    request: TaskRequest,
    *,
    overlap: str = "skip",
    catch_up: str = "skip",
    pause_after: int = 0,
) -> datetime:
    """Add a schedule; returns its first time.

    Raises UsageError for what is wrong in it, and for a name that is taken.
    """
    if not is_cron(cron):
        raise UsageError(
            "A schedule has a cron expression of five fields (minute, hour, day, month, "
            "weekday; UTC) that names a time, such as '*/15 * * * *'; correct it."
        )
    if overlap not in OVERLAPS or catch_up not in CATCH_UPS:
        raise UsageError(
            f"The overlap is one of {', '.join(OVERLAPS)}, the catch-up one of "
            f"{', '.join(CATCH_UPS)}; correct it."
        )
    if request.unique_key or request.delay_seconds or request.start_within_seconds:
        raise UsageError("A schedule takes no unique key, delay or deadline; leave them out.")
    prepared = prepare(context, request)
    sessions: tuple[int, ...] | None = tuple(it.session for it in prepared.targets)
    user = owner_id(context) or 0
    if request.every_session or request.user:
        sessions = None
        user = user or (prepared.targets[0].user if request.user else 0)
    first = next_time(cron, utc_now())
    premium = prepared.kind.priority if prepared.kind.priority == "low" else "premium"
    new = NewSchedule(
        name=name,
        kind=prepared.kind.name,
        cron=cron,
        arguments=prepared.text,
        sessions=sessions,
        user=user,
        priority=PRIORITIES.index(request.priority or prepared.kind.priority),
        premium_priority=PRIORITIES.index(request.priority or premium),
        max_attempts=prepared.kind.max_attempts,
        timeout_seconds=prepared.kind.timeout_seconds,
        overlap=overlap,
        catch_up=catch_up,
        pause_after=pause_after,
        next_at=first,
    )
    with change(context, "schedule.add", f"schedule/{name}") as details:
        schedules.add(new, context.actor.name)
        details["after"] = {"kind": new.kind, "cron": cron, "overlap": overlap}
    return first


@operation("task:write", owned=True)
def remove(context: Context, name: str) -> str:
    """Remove a schedule; the tasks that it has submitted stay. Returns its name."""
    found = schedules.find(name, user=owner_id(context))
    with change(context, "schedule.remove", f"schedule/{found.name}") as details:
        schedules.remove(found)
        details["before"] = {"kind": found.kind, "cron": found.cron}
    return str(found.name)


@operation("task:write", owned=True)
def set_paused(context: Context, name: str, paused: bool) -> str:
    """Pause a schedule, or let it go on at its next time; returns its name."""
    found = schedules.find(name, user=owner_id(context))
    verb = "pause" if paused else "resume"
    with change(context, f"schedule.{verb}", f"schedule/{found.name}") as details:
        schedules.set_paused(found, paused, next_time(found.cron, utc_now()))
        details["before"] = {"paused": found.paused}
    return str(found.name)


def _row(**row: object) -> ScheduleRow:
    chosen = {name: row[name] for name in ScheduleRow.__slots__}
    chosen["priority"] = PRIORITIES[int(str(row["priority"]))]
    return ScheduleRow(**chosen)  # type: ignore[arg-type]
