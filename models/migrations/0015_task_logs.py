"""Lines that tasks log, and the tasks that have a deadline for their start."""

from peewee import AutoField, BigIntegerField, IntegerField, TextField


def up(migrator, db):
    class TaskLog(db.Model):
        id = AutoField()
        task_id = IntegerField(index=True)
        at = BigIntegerField()
        text = TextField()

        class Meta:
            table_name = "task_logs"

    db.create_tables([TaskLog])
    db.execute_sql(
        "CREATE INDEX worker_tasks_start_by ON worker_tasks (start_by)"
        " WHERE start_by IS NOT NULL AND state IN ('waiting', 'queued')"
    )


def down(migrator, db):
    db.execute_sql("DROP INDEX worker_tasks_start_by")
    db.execute_sql("DROP TABLE task_logs")
