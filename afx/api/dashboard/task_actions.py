"""What a person may do from a page to tasks, queues and schedules."""

from __future__ import annotations

from afx.api.dashboard.action import Action, Field, Form, lines_of, number_of
from afx.operations import queues, schedules, task_requests, tasks
from afx.operations.context import Context
from afx.operations.task_requests import TaskRequest


def _number(text: str) -> int:
    return number_of(text, "task")


def _request(form: Form) -> TaskRequest:
    kind = form["kind"]
    return TaskRequest(
        kind=kind,
        arguments=task_requests.parse_pairs(kind, lines_of(form.get("arguments", ""))),
        sessions=tuple(form.get("sessions", "").split()),
        user=form.get("user", ""),
        every_session=bool(form.get("every")),
        priority=form.get("priority", ""),
    )


def _submit(context: Context, _: str, form: Form) -> str:
    made = task_requests.submit(context, _request(form))
    which = f"{len(made.ids)} tasks, batch {made.batch}" if made.batch else f"task {made.ids[0]}"
    return f"{which}: {form['kind']} is queued"


def _add_schedule(context: Context, _: str, form: Form) -> str:
    first = schedules.add(
        context,
        form["name"],
        form["cron"].strip(),
        _request(form),
        overlap=form.get("overlap", "skip"),
    )
    return f"schedule {form['name']} is added; its first time is {first:%Y-%m-%d %H:%M} UTC"


_KIND = Field("kind", "Kind", "select", tasks.KIND_NAMES, value=tasks.KIND_NAMES[0])
_FOR = (
    Field(
        "arguments",
        "Arguments",
        "pairs",
        required=False,
        hint="NAME=VALUE, one a line; 'afx task kinds' shows them.",
        flag="--arg",
    ),
    Field(
        "sessions",
        "For sessions",
        "lines",
        required=False,
        hint="Their names, one a line.",
        flag="--session",
    ),
    Field("user", "Or all sessions of a user", required=False, flag="--user"),
    Field("every", "Or all sessions", "check", required=False, flag="--all"),
    Field(
        "priority",
        "Priority",
        "select",
        ("", "premium", "high", "default", "low"),
        required=False,
        hint="Empty: the kind's own.",
        flag="--priority",
    ),
)

TASK_ACTIONS = (
    Action(
        "task.submit",
        "New task",
        "plus",
        task_requests.submit,
        _submit,
        "It is done once, for each session that is chosen.",
        "task submit",
        "POST",
        "/tasks",
        (_KIND, *_FOR),
        back="/tasks",
    ),
    Action(
        "schedule.add",
        "New schedule",
        "plus",
        schedules.add,
        _add_schedule,
        "A task is submitted at the times of a cron expression.",
        "task schedule add",
        "POST",
        "/schedules",
        (
            Field("name", "Name"),
            Field(
                "cron",
                "Times",
                hint="Minute, hour, day, month, weekday, in UTC, such as 0 3 * * *.",
            ),
            _KIND,
            Field(
                "overlap",
                "While the last ones still run",
                "select",
                ("skip", "queue", "replace"),
                flag="--overlap",
                value="skip",
            ),
            *_FOR,
        ),
        back="/schedules",
    ),
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
