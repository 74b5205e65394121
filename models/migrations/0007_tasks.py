"""Tasks that the leader publishes: their queues, publications, cursors and batches.

No version before this one writes tasks, so the table is made anew.
"""

from peewee import (
    AutoField,
    BigIntegerField,
    BooleanField,
    CharField,
    Check,
    FloatField,
    ForeignKeyField,
    IntegerField,
    TextField,
)

_STATES = "'waiting', 'queued', 'published', 'running', 'succeeded', 'failed', 'cancelled'"
_OLD_STATES = "'queued', 'running', 'succeeded', 'failed', 'cancelled'"
_GIVEN_OUT = ("published", "running")


def _session(db):
    class Session(db.Model):
        id = AutoField()

        class Meta:
            table_name = "sessions"

    return Session


def up(migrator, db):
    db.execute_sql("DROP TABLE worker_tasks")
    session_table = _session(db)

    class WorkerTask(db.Model):
        id = AutoField()
        kind = CharField(max_length=40)
        state = CharField(max_length=10, constraints=[Check(f"state IN ({_STATES})")])
        priority = IntegerField(constraints=[Check("priority BETWEEN 0 AND 3")])
        user_id = IntegerField()
        session = ForeignKeyField(session_table, null=True, on_delete="SET NULL")
        is_for_session = BooleanField()
        batch_id = IntegerField(null=True)
        unique_key = CharField(max_length=200, null=True)
        publication = IntegerField()
        worker = CharField(max_length=100)
        incarnation = CharField(max_length=40)
        arguments = TextField()
        result = TextField(null=True)
        error = TextField()
        progress = FloatField(constraints=[Check("progress BETWEEN 0 AND 1")])
        cursor = TextField()
        attempts = IntegerField()
        max_attempts = IntegerField(constraints=[Check("max_attempts >= 1")])
        timeout_seconds = IntegerField(constraints=[Check("timeout_seconds >= 1")])
        cancelling = BooleanField()
        actor = CharField(max_length=100)
        run_after = BigIntegerField()
        start_by = BigIntegerField(null=True)
        created_at = BigIntegerField()
        published_at = BigIntegerField(null=True)
        started_at = BigIntegerField(null=True)
        finished_at = BigIntegerField(null=True)

        class Meta:
            table_name = "worker_tasks"
            indexes = ((("kind", "state"), False),)

    it = WorkerTask
    queued = it.state == "queued"
    open_ones = it.state.in_(("waiting", "queued", *_GIVEN_OUT))
    of_session = it.state.in_(("waiting", *_GIVEN_OUT))
    for index in (
        it.index(it.priority, it.user_id, it.id, where=queued, name="worker_tasks_queued"),
        it.index(it.run_after, where=it.state == "waiting", name="worker_tasks_waiting"),
        it.index(it.session, it.id, where=of_session, name="worker_tasks_session"),
        it.index(it.id, where=it.state.in_(_GIVEN_OUT), name="worker_tasks_given_out"),
        it.index(it.unique_key, unique=True, where=open_ones, name="worker_tasks_unique"),
        it.index(it.batch_id, name="worker_tasks_batch"),
        it.index(it.finished_at, name="worker_tasks_finished_at"),
    ):
        it.add_index(index)
    db.create_tables([it])


def down(migrator, db):
    db.execute_sql("DROP TABLE worker_tasks")
    session_table = _session(db)

    class WorkerTask(db.Model):
        id = AutoField()
        kind = CharField(max_length=40)
        state = CharField(max_length=10, constraints=[Check(f"state IN ({_OLD_STATES})")])
        priority = IntegerField()
        session = ForeignKeyField(session_table, null=True, on_delete="SET NULL")
        worker = CharField(max_length=100)
        incarnation = CharField(max_length=40)
        arguments = TextField()
        result = TextField(null=True)
        error = TextField()
        progress = FloatField(constraints=[Check("progress BETWEEN 0 AND 1")])
        attempts = IntegerField()
        max_attempts = IntegerField(constraints=[Check("max_attempts >= 1")])
        timeout_seconds = IntegerField(constraints=[Check("timeout_seconds >= 1")])
        run_after = BigIntegerField()
        created_at = BigIntegerField()
        started_at = BigIntegerField(null=True)
        finished_at = BigIntegerField(null=True)

        class Meta:
            table_name = "worker_tasks"
            indexes = ((("kind", "state"), False),)

    it = WorkerTask
    it.add_index(
        it.index(it.priority, it.id, where=it.state == "queued", name="worker_tasks_queued")
    )
    it.add_index(it.index(it.incarnation, where=it.state == "running", name="worker_tasks_running"))
    it.add_index(it.index(it.finished_at, name="worker_tasks_finished_at"))
    db.create_tables([it])
