"""What a person may do from a page to tasks, queues and schedules."""

from __future__ import annotations

from afx.api.dashboard.action import Action
from afx.errors import NotFoundError
from afx.operations import queues, schedules, tasks


def _number(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise NotFoundError("A task has a number; choose one of the list.")
    return int(text)


TASK_ACTIONS = (
    Action(
        "task.retry",
        "Retry",
        "refresh",
        tasks.retry,
        lambda context, target, _: tasks.retry(context, _number(target)),
        "It is queued again with all its attempts, and goes on where it was.",
        "task retry",
        "POST",
        "/tasks/{}/retry",
    ),
    Action(
        "task.cancel",
        "Cancel",
        "x",
        tasks.cancel,
        lambda context, target, _: tasks.cancel(context, _number(target)),
        "It ends, also when it runs; what it has done stays.",
        "task cancel",
        "DELETE",
        "/tasks/{}",
    ),
    Action(
        "queue.requeue",
        "Requeue",
        "refresh",
        queues.requeue,
        lambda context, target, _: (
            f"{queues.requeue(context, target)} tasks of {target} are queued again"
        ),
        "Its failed tasks are queued again, with all their attempts.",
        "queue requeue",
        "POST",
        "/queues/{}/requeue",
    ),
    Action(
        "queue.purge",
        "Purge",
        "x",
        queues.purge,
        lambda context, target, _: (
            f"{queues.purge(context, target)} tasks of {target} are cancelled"
        ),
        "The tasks that no node has yet are cancelled. Those that run go on.",
        "queue purge",
        "POST",
        "/queues/{}/purge",
        destroys=True,
    ),
    Action(
        "schedule.pause",
        "Pause",
        "paused",
        schedules.set_paused,
        lambda context, target, _: (
            f"schedule {schedules.set_paused(context, target, True)} is paused"
        ),
        "It submits nothing until it is resumed.",
        "task schedule pause",
        "POST",
        "/schedules/{}/pause",
    ),
    Action(
        "schedule.resume",
        "Resume",
        "running",
        schedules.set_paused,
        lambda context, target, _: (
            f"schedule {schedules.set_paused(context, target, False)} goes on"
        ),
        "It goes on at its next time.",
        "task schedule resume",
        "POST",
        "/schedules/{}/resume",
    ),
    Action(
        "schedule.remove",
        "Remove",
        "x",
        schedules.remove,
        lambda context, target, _: f"schedule {schedules.remove(context, target)} is removed",
        "It submits nothing any more; the tasks that it has submitted stay.",
        "task schedule remove",
        "DELETE",
        "/schedules/{}",
    ),
)
