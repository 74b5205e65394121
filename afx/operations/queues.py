"""The queues of tasks: how full each is, since when, and emptying it."""

from __future__ import annotations

from dataclasses import dataclass

from afx.cluster.task_jobs import PRIORITIES
from afx.errors import NotFoundError
from afx.operations.changes import change
from afx.operations.context import Context, operation
from models.base import utc_now
from models.storage import tasks


@dataclass(slots=True, frozen=True)
class QueueRow:
    """One queue."""

    name: str
    waiting: int
    """For their time, or for their session to run."""
    queued: int
    published: int
    """In Redis."""
    running: int
    oldest_seconds: float | None
    """For how long the oldest one has been ready to run."""


@operation("queue:read")
def listing(context: Context) -> list[QueueRow]:
    """Return the queues, the first one first."""
    del context
    return [_row(priority) for priority in range(len(PRIORITIES))]


@operation("queue:read")
def show(context: Context, name: str) -> QueueRow:
    """Return one queue; raises NotFoundError when there is none."""
    del context
    return _row(_priority(name))


@operation("queue:write")
def purge(context: Context, name: str) -> int:
    """Cancel the tasks of a queue that no node has yet; returns how many."""
    priority = _priority(name)
    with change(context, "queue.purge", f"queue/{name}") as details:
        count = 0
        while part := tasks.cancel_queued(priority, f"purged by {context.actor.name}"):
            count += part
        details["count"] = count
    return count


@operation("queue:write")
def requeue(context: Context, name: str) -> int:
    """Queue the failed tasks of a queue again; returns how many."""
    priority = _priority(name)
    with change(context, "queue.requeue", f"queue/{name}") as details:
        count = 0
        while part := tasks.retry_failed(priority):
            count += part
        details["count"] = count
    return count


def _priority(name: str) -> int:
    if name not in PRIORITIES:
        raise NotFoundError(f"There is no such queue; it is one of {', '.join(PRIORITIES)}.")
    return PRIORITIES.index(name)


def _row(priority: int) -> QueueRow:
    counts = tasks.counts(priority)
    oldest = tasks.oldest_queued(priority)
    waited = None if oldest is None else max(0.0, (utc_now() - oldest).total_seconds())
    return QueueRow(
        name=PRIORITIES[priority],
        waiting=counts.get((priority, "waiting"), 0),
        queued=counts.get((priority, "queued"), 0),
        published=counts.get((priority, "published"), 0),
        running=counts.get((priority, "running"), 0),
        oldest_seconds=None if waited is None else round(waited, 3),
    )
