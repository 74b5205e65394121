"""The tables of schedules, and of what tasks log."""

from __future__ import annotations

from peewee import (
    AutoField,
    BooleanField,
    CharField,
    Check,
    IntegerField,
    TextField,
)

from models.base import JsonField, Table, UtcField, utc_now

OVERLAPS = ("skip", "queue", "replace")
CATCH_UPS = ("skip", "once")


class TaskSchedule(Table):
    """Tasks that are submitted by a cron expression."""

    id = AutoField()
    name = CharField(max_length=100, unique=True)
    user_id = IntegerField(default=0)
    """The user to whom it is limited; 0: to none."""
    kind = CharField(max_length=40)
    cron = CharField(max_length=100)
    """Five fields, in UTC."""
    arguments = TextField()
    sessions = JsonField(null=True)
    """A list of ids; null: all of the user's, or all there are; [] for a kind that needs none."""
    priority = IntegerField(default=2)
    premium_priority = IntegerField(default=2)
    max_attempts = IntegerField(default=3)
    timeout_seconds = IntegerField(default=60)
    overlap = CharField(
        max_length=10,
        default="skip",
        constraints=[Check("overlap IN ('skip', 'queue', 'replace')")],
    )
    """What happens when tasks of the last time have not finished."""
    catch_up = CharField(
        max_length=10, default="skip", constraints=[Check("catch_up IN ('skip', 'once')")]
    )
    """What happens to times at which no coordinator led."""
    pause_after = IntegerField(default=0)
    """So many times in a row with failed tasks pause it; 0: none does."""
    failures = IntegerField(default=0)
    paused = BooleanField(default=False)
    note = TextField(default="")
    batch_id = IntegerField(null=True)
    """The first task of the last time."""
    actor = CharField(max_length=100)
    created_at = UtcField(default=utc_now)
    next_at = UtcField()
    last_at = UtcField(null=True)

    class Meta:
        table_name = "task_schedules"


TaskSchedule.add_index(
    TaskSchedule.index(TaskSchedule.next_at, where=~TaskSchedule.paused, name="task_schedules_due")
)


class TaskLog(Table):
    """A line that a task has logged, or that tells what became of a run of it."""

    id = AutoField()
    task_id = IntegerField(index=True)
    """Lines go with their task (``tasks.prune``)."""
    at = UtcField()
    text = TextField()

    class Meta:
        table_name = "task_logs"
