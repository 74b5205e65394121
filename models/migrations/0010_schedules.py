"""Schedules of tasks: what is submitted again and again, by a cron expression."""

from peewee import (
    AutoField,
    BigIntegerField,
    BooleanField,
    CharField,
    Check,
    IntegerField,
    TextField,
)


def up(migrator, db):
    class TaskSchedule(db.Model):
        id = AutoField()
        name = CharField(max_length=100, unique=True)
        user_id = IntegerField()
        kind = CharField(max_length=40)
        cron = CharField(max_length=100)
        arguments = TextField()
        sessions = TextField(null=True)
        priority = IntegerField()
        premium_priority = IntegerField()
        max_attempts = IntegerField()
        timeout_seconds = IntegerField()
        overlap = CharField(
            max_length=10, constraints=[Check("overlap IN ('skip', 'queue', 'replace')")]
        )
        catch_up = CharField(max_length=10, constraints=[Check("catch_up IN ('skip', 'once')")])
        pause_after = IntegerField()
        failures = IntegerField()
        paused = BooleanField()
        note = TextField()
        batch_id = IntegerField(null=True)
        actor = CharField(max_length=100)
        created_at = BigIntegerField()
        next_at = BigIntegerField()
        last_at = BigIntegerField(null=True)

        class Meta:
            table_name = "task_schedules"

    schedule = TaskSchedule
    due = schedule.index(schedule.next_at, where=~schedule.paused, name="task_schedules_due")
    schedule.add_index(due)
    db.create_tables([schedule])


def down(migrator, db):
    db.execute_sql("DROP TABLE task_schedules")
