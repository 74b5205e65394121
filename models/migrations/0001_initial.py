"""The tables of the first version."""

from peewee import (
    SQL,
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


def _tables(db):
    base = db.Model

    class User(base):
        id = AutoField()
        name = CharField(max_length=100, unique=True)
        tier = CharField(max_length=10, constraints=[Check("tier IN ('premium', 'free')")])
        created_at = BigIntegerField()

        class Meta:
            table_name = "users"

    class Session(base):
        id = AutoField()
        user = ForeignKeyField(User, on_delete="RESTRICT")
        name = CharField(max_length=100, unique=True)
        login = TextField()
        desired_state = CharField(
            max_length=10, constraints=[Check("desired_state IN ('running', 'paused')")]
        )
        trouble = TextField()
        retry_at = BigIntegerField(null=True)
        failures = IntegerField()
        revision = IntegerField()
        created_at = BigIntegerField()

        class Meta:
            table_name = "sessions"

    class Rule(base):
        id = AutoField()
        session = ForeignKeyField(Session, on_delete="CASCADE")
        sources = TextField()
        destinations = TextField()
        mode = CharField(max_length=10, constraints=[Check("mode IN ('copy', 'forward')")])
        enabled = BooleanField()
        created_at = BigIntegerField()

        class Meta:
            table_name = "rules"

    class Worker(base):
        name = CharField(max_length=100, primary_key=True)
        incarnation = CharField(max_length=40)
        hostname = CharField(max_length=255)
        state = CharField(max_length=10)
        first_seen = BigIntegerField()
        last_seen = BigIntegerField()

        class Meta:
            table_name = "workers"

    class SessionAssignment(base):
        id = AutoField()
        session = ForeignKeyField(Session, on_delete="CASCADE")
        worker = CharField(max_length=100)
        incarnation = CharField(max_length=40)
        epoch = BigIntegerField()
        revision = IntegerField()
        state = CharField(
            max_length=10,
            constraints=[Check("state IN ('assigned', 'running', 'stopping', 'ended')")],
        )
        reason = TextField()
        assigned_at = BigIntegerField()
        running_at = BigIntegerField(null=True)
        ended_at = BigIntegerField(null=True)

        class Meta:
            table_name = "session_assignments"
            indexes = ((("session", "epoch"), True),)

    active = SessionAssignment.state != "ended"
    SessionAssignment.add_index(
        SessionAssignment.index(
            SessionAssignment.session, unique=True, where=active, name="session_assignments_active"
        )
    )
    SessionAssignment.add_index(
        SessionAssignment.index(
            SessionAssignment.worker, where=active, name="session_assignments_worker"
        )
    )

    class SessionQueue(base):
        session = ForeignKeyField(Session, primary_key=True, on_delete="CASCADE")
        reason = TextField()
        since = BigIntegerField()
        attempts = IntegerField()

        class Meta:
            table_name = "session_queue"

    class WorkerAnalytics(base):
        id = AutoField()
        worker = CharField(max_length=100)
        at = BigIntegerField()
        rss = BigIntegerField()
        cpu = FloatField()
        sessions = IntegerField()
        forwarded = BigIntegerField()
        load = FloatField()

        class Meta:
            table_name = "worker_analytics"
            indexes = ((("worker", "at"), False),)

    class ClusterState(base):
        id = IntegerField(primary_key=True, constraints=[Check("id = 1")])
        generation = IntegerField()
        term = BigIntegerField()
        reports_read = CharField(max_length=40, constraints=[SQL("DEFAULT '0'")])
        reports_run_id = CharField(max_length=40, constraints=[SQL("DEFAULT ''")])

        class Meta:
            table_name = "cluster_state"

    return [
        User,
        Session,
        Rule,
        Worker,
        SessionAssignment,
        SessionQueue,
        WorkerAnalytics,
        ClusterState,
    ]


def up(migrator, db):
    db.create_tables(_tables(db), safe=False)


def down(migrator, db):
    db.drop_tables(_tables(db))
