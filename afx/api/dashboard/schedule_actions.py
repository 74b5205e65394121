"""What a person may do from a page to schedules."""

from __future__ import annotations

from afx.api.dashboard.action import Action, Field, Form, whole_of
from afx.api.dashboard.task_actions import FOR_SESSIONS, KIND, request_of
from afx.operations import schedules
from afx.operations.context import Context


def _add_schedule(context: Context, _: str, form: Form) -> str:
    first = schedules.add(
        context,
        form["name"],
        form["cron"].strip(),
        request_of(form),
        overlap=form.get("overlap", "skip"),
        catch_up=form.get("catch_up", "skip"),
        pause_after=whole_of(form.get("pause_after", ""), "The number of failures"),
    )
    return f"schedule {form['name']} is added; its first time is {first:%Y-%m-%d %H:%M} UTC"


SCHEDULE_ACTIONS = (
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
            KIND,
            Field(
                "overlap",
                "While the last ones still run",
                "select",
                ("skip", "queue", "replace"),
                flag="--overlap",
                value="skip",
            ),
            Field(
                "catch_up",
                "After an outage",
                "select",
                ("skip", "once"),
                flag="--catch-up",
                value="skip",
            ),
            Field(
                "pause_after",
                "Pause after so many failures in a row",
                required=False,
                hint="Empty: never.",
                flag="--pause-after",
                shape="number",
            ),
            *FOR_SESSIONS,
        ),
        back="/schedules",
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
