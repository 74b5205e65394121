"""The tables."""

from __future__ import annotations

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

from models.base import JsonField, Table, UtcField, utc_now

ASSIGNMENT_STATES = ("assigned", "running", "stopping", "ended")


class User(Table):
    """A customer, who owns sessions."""

    id = AutoField()
    name = CharField(max_length=100, unique=True)
    tier = CharField(
        max_length=10, default="free", constraints=[Check("tier IN ('premium', 'free')")]
    )
    created_at = UtcField(default=utc_now)

    class Meta:
        """ "user" is a reserved word in Postgres."""

        table_name = "users"


class Session(Table):
    """One Telegram account's login."""

    id = AutoField()
    user = ForeignKeyField(User, backref="sessions", on_delete="RESTRICT")
    name = CharField(max_length=100, unique=True)
    login = TextField()
    wanted = CharField(
        max_length=10, default="running", constraints=[Check("wanted IN ('running', 'paused')")]
    )
    trouble = TextField(default="")
    retry_at = UtcField(null=True)
    failures = IntegerField(default=0)
    revision = IntegerField(default=1)
    """Rises when its rules change: what runs an older one is started anew."""
    created_at = UtcField(default=utc_now)

    class Meta:
        """Plural, as the other tables of people."""

        table_name = "sessions"


class Rule(Table):
    """Which chats a session forwards, and where to."""

    id = AutoField()
    session = ForeignKeyField(Session, backref="rules", on_delete="CASCADE")
    sources = JsonField()
    destinations = JsonField()
    mode = CharField(
        max_length=10, default="copy", constraints=[Check("mode IN ('copy', 'forward')")]
    )
    enabled = BooleanField(default=True)
    created_at = UtcField(default=utc_now)

    class Meta:
        """Plural."""

        table_name = "rules"


class Worker(Table):
    """A node that was seen, by its latest incarnation."""

    name = CharField(max_length=100, primary_key=True)
    incarnation = CharField(max_length=40)
    hostname = CharField(max_length=255)
    state = CharField(max_length=10)
    first_seen = UtcField(default=utc_now)
    last_seen = UtcField(default=utc_now)

    class Meta:
        """Plural."""

        table_name = "workers"


class SessionAssignment(Table):
    """A session given to a node; at most one per session is active."""

    id = AutoField()
    session = ForeignKeyField(Session, backref="assignments", on_delete="CASCADE")
    worker = CharField(max_length=100)
    incarnation = CharField(max_length=40)
    epoch = BigIntegerField()
    revision = IntegerField(default=1)
    """The session's revision when it was placed."""
    state = CharField(
        max_length=10,
        constraints=[Check("state IN ('assigned', 'running', 'stopping', 'ended')")],
    )
    reason = TextField(default="")
    assigned_at = UtcField(default=utc_now)
    running_at = UtcField(null=True)
    ended_at = UtcField(null=True)

    class Meta:
        """The database itself keeps a session from being active twice."""

        table_name = "session_assignments"
        indexes = ((("session", "epoch"), True),)


SessionAssignment.add_index(
    SessionAssignment.index(
        SessionAssignment.session,
        unique=True,
        where=(SessionAssignment.state != "ended"),
        name="session_assignments_active",
    )
)
SessionAssignment.add_index(
    SessionAssignment.index(
        SessionAssignment.worker,
        where=(SessionAssignment.state != "ended"),
        name="session_assignments_worker",
    )
)


class SessionQueue(Table):
    """A session that fits nowhere and waits."""

    session = ForeignKeyField(Session, primary_key=True, on_delete="CASCADE")
    reason = TextField()
    since = UtcField(default=utc_now)
    attempts = IntegerField(default=1)

    class Meta:
        """One row for each session that waits."""

        table_name = "session_queue"


class WorkerAnalytics(Table):
    """One sample of a node's metrics."""

    id = AutoField()
    worker = CharField(max_length=100)
    at = UtcField(default=utc_now)
    rss = BigIntegerField()
    cpu = FloatField()
    sessions = IntegerField()
    forwarded = BigIntegerField()
    load = FloatField()

    class Meta:
        """Read by node and time."""

        table_name = "worker_analytics"
        indexes = ((("worker", "at"), False),)


class ClusterState(Table):
    """What the coordinators of this database share: one row."""

    id = IntegerField(primary_key=True, constraints=[Check("id = 1")])
    generation = IntegerField(default=0)
    term = BigIntegerField(default=0)
    reports_read = CharField(max_length=40, default="0", constraints=[SQL("DEFAULT '0'")])

    class Meta:
        """One row."""

        table_name = "cluster_state"


ALL = (User, Session, Rule, Worker, SessionAssignment, SessionQueue, WorkerAnalytics, ClusterState)
