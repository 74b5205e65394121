"""What a person may do from a page to tasks and queues."""

from __future__ import annotations

from afx.api.dashboard.action import Action, Field, Form, lines_of, number_of, whole_of
from afx.operations import queues, task_requests, tasks
from afx.operations.context import Context
from afx.operations.task_requests import TaskRequest


def _number(text: str) -> int:
    return number_of(text, "task")


def request_of(form: Form) -> TaskRequest:
    """Return what a form asks for; raises UsageError."""
    kind = form["kind"]
    return TaskRequest(
        kind=kind,
        arguments=task_requests.parse_pairs(kind, lines_of(form.get("arguments", ""))),
        sessions=tuple(form.get("sessions", "").split()),
        user=form.get("user", ""),
        every_session=bool(form.get("every")),
        priority=form.get("priority", ""),
        unique_key=form.get("unique_key", "").strip(),
        keep_newest=bool(form.get("keep_newest")),
        delay_seconds=whole_of(form.get("delay_seconds", ""), "The delay"),
        start_within_seconds=whole_of(form.get("start_within_seconds", ""), "The time to start"),
    )


def _submit(context: Context, _: str, form: Form) -> str:
    made = task_requests.submit(context, request_of(form))
    which = f"{len(made.ids)} tasks, batch {made.batch}" if made.batch else f"task {made.ids[0]}"
    return f"{which}: {form['kind']} is queued"


def _cancelled(context: Context, target: str) -> str:
    count = tasks.cancel_batch(context, number_of(target, "batch"))
    return f"{count} tasks of batch {target} are cancelled"


KIND = Field("kind", "Kind", "select", tasks.KIND_NAMES, value=tasks.KIND_NAMES[0])
FOR_SESSIONS = (
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
    Field("every", "Or all sessions", "check", required=False, flag="--all", to="every_session"),
    Field(
        "priority",
        "Priority",
        "select",
        ("", "premium", "high", "default", "low"),
        required=False,
        hint="Automatic: the kind's own.",
        flag="--priority",
    ),
)
_ONCE = (
    Field(
        "unique_key",
        "Unique key",
        required=False,
        hint="While a task of it has not finished, no other one is queued for the session.",
        flag="--unique",
    ),
    Field(
        "keep_newest",
        "One of this key that no node has yet is replaced",
        "check",
        required=False,
        flag="--newest",
    ),
    Field("delay_seconds", "Begin after, seconds", required=False, flag="--delay", shape="number"),
    Field(
        "start_within_seconds",
        "Cancel it if it has not started after, seconds",
        required=False,
        hint="Empty: it may wait.",
        flag="--within",
        shape="number",
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
        (KIND, *FOR_SESSIONS, *_ONCE),
        back="/tasks",
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
        "task.pause",
        "Pause",
        "paused",
        tasks.pause,
        lambda context, target, _: tasks.pause(context, _number(target)),
        "It keeps its place until it is resumed, also when it runs now.",
        "task pause",
        "POST",
        "/tasks/{}/pause",
    ),
    Action(
        "task.resume",
        "Resume",
        "running",
        tasks.resume,
        lambda context, target, _: tasks.resume(context, _number(target)),
        "It is queued again, and goes on where it was.",
        "task resume",
        "POST",
        "/tasks/{}/resume",
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
        "batch.cancel",
        "Cancel the batch",
        "x",
        tasks.cancel_batch,
        lambda context, target, _: _cancelled(context, target),
        "Those of its tasks that have not finished end; what they have done stays.",
        "task cancel",
        "DELETE",
        "/batches/{}",
        words=lambda target: ["--batch", target],
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
)
