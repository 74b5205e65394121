"""The tables."""

from __future__ import annotations

from collections.abc import Iterable

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

TIERS = ("premium", "free")
DESIRED_SESSION_STATES = ("running", "paused")
MODES = ("copy", "forward")
DESIRED_WORKER_STATES = ("ready", "cordoned", "draining")
ASSIGNMENT_STATES = ("assigned", "running", "stopping", "ended")
TASK_STATES = ("queued", "running", "succeeded", "failed", "cancelled")
CONTROL_STATES = ("requested", "sent", "acknowledged", "done", "failed", "cancelled")
CONTROL_KINDS = (
    "cordon",
    "uncordon",
    "drain",
    "stop",
    "recycle",
    "move",
    "pause",
    "resume",
    "remove",
)
SCALING_DECISIONS = ("out", "in", "hold")


def _one_of(column: str, values: Iterable[str]) -> Check:
    return Check(f"{column} IN ({', '.join(repr(it) for it in values)})")


class User(Table):
    """A customer, who owns sessions."""

    id = AutoField()
    name = CharField(max_length=100, unique=True)
    tier = CharField(max_length=10, default="free", constraints=[_one_of("tier", TIERS)])
    created_at = UtcField(default=utc_now)

    class Meta:
        """ "user" is a reserved word in Postgres."""

        table_name = "users"


class Session(Table):
    """One Telegram account's login."""

    id = IntegerField(primary_key=True)
    """Never given twice (``cluster_state.next_session``): Redis remembers it longer."""
    user = ForeignKeyField(User, backref="sessions", on_delete="RESTRICT")
    name = CharField(max_length=100, unique=True)
    login = TextField()
    fingerprint = CharField(max_length=64, null=True, unique=True)
    """Of the login's key: the same login twice would be live twice."""
    desired_state = CharField(
        max_length=10,
        default="running",
        constraints=[_one_of("desired_state", DESIRED_SESSION_STATES)],
    )
    removing = BooleanField(default=False)
    """It is to be removed as soon as no node runs it."""
    trouble = TextField(default="")
    retry_at = UtcField(null=True)
    failures = IntegerField(default=0)
    revision = IntegerField(default=1)
    """Rises when its rules change: what runs an older one is started anew."""
    requires = JsonField(default=dict, constraints=[SQL("DEFAULT '{}'")])
    """Labels that its node must have."""
    active_at = UtcField(null=True)
    """When it last forwarded something, to the minute."""
    moved_at = UtcField(null=True)
    """When it was last moved to even nodes out, or preempted."""
    created_at = UtcField(default=utc_now)

    class Meta:
        """Plural, as the other tables of people."""

        table_name = "sessions"


Session.add_index(
    Session.index(Session.name, where=(Session.trouble != ""), name="sessions_troubled")
)
Session.add_index(
    Session.index(Session.id, where=(Session.desired_state == "paused"), name="sessions_paused")
)
Session.add_index(Session.index(Session.id, where=Session.removing, name="sessions_removing"))
Session.add_index(Session.index(Session.moved_at, name="sessions_moved_at"))


class Rule(Table):
    """Which chats a session forwards, and where to."""

    id = AutoField()
    session = ForeignKeyField(Session, backref="rules", on_delete="CASCADE")
    name = CharField(max_length=100)
    sources = JsonField()
    destinations = JsonField()
    mode = CharField(max_length=10, default="copy", constraints=[_one_of("mode", MODES)])
    enabled = BooleanField(default=True)
    created_at = UtcField(default=utc_now)

    class Meta:
        """A rule's name is unique within its session."""

        table_name = "rules"
        indexes = ((("session", "name"), True),)


class SessionCursor(Table):
    """Where a session had come to a while ago: Redis knows it better."""

    session = ForeignKeyField(
        Session, primary_key=True, backref="cursor", on_delete="CASCADE", index=False
    )
    fields = TextField()
    """JSON of the fields that the cursor has in Redis."""
    saved_at = UtcField(default=utc_now)

    class Meta:
        """Plural."""

        table_name = "session_cursors"


class Worker(Table):
    """A node that was seen, by its latest incarnation, and what is wanted of it."""

    name = CharField(max_length=100, primary_key=True)
    incarnation = CharField(max_length=40)
    hostname = CharField(max_length=255)
    state = CharField(max_length=10)
    desired_state = CharField(
        max_length=10,
        default="ready",
        constraints=[_one_of("desired_state", DESIRED_WORKER_STATES)],
    )
    """Stays over restarts of the node."""
    forwarded = BigIntegerField(default=0, constraints=[SQL("DEFAULT 0")])
    """Messages that this incarnation had forwarded when it was last seen."""
    labels = JsonField(default=dict, constraints=[SQL("DEFAULT '{}'")])
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
    state = CharField(max_length=10, constraints=[_one_of("state", ASSIGNMENT_STATES)])
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
SessionAssignment.add_index(
    SessionAssignment.index(SessionAssignment.ended_at, name="session_assignments_ended_at")
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


class WorkerTask(Table):
    """One task that a node carries out, from its submission to its result."""

    id = AutoField()
    kind = CharField(max_length=40)
    state = CharField(max_length=10, default="queued", constraints=[_one_of("state", TASK_STATES)])
    priority = IntegerField(default=1)
    """0 for premium users' tasks, 1 for others'; lower runs first."""
    session = ForeignKeyField(Session, null=True, backref="tasks", on_delete="SET NULL")
    worker = CharField(max_length=100, default="")
    incarnation = CharField(max_length=40, default="")
    arguments = JsonField()
    result = JsonField(null=True)
    error = TextField(default="")
    progress = FloatField(default=0.0, constraints=[Check("progress BETWEEN 0 AND 1")])
    attempts = IntegerField(default=0)
    max_attempts = IntegerField(default=3, constraints=[Check("max_attempts >= 1")])
    timeout_seconds = IntegerField(default=600, constraints=[Check("timeout_seconds >= 1")])
    run_after = UtcField(default=utc_now)
    created_at = UtcField(default=utc_now)
    started_at = UtcField(null=True)
    finished_at = UtcField(null=True)

    class Meta:
        """History is read by kind and state."""

        table_name = "worker_tasks"
        indexes = ((("kind", "state"), False),)


WorkerTask.add_index(
    WorkerTask.index(
        WorkerTask.priority,
        WorkerTask.id,
        where=(WorkerTask.state == "queued"),
        name="worker_tasks_queued",
    )
)
WorkerTask.add_index(
    WorkerTask.index(
        WorkerTask.incarnation, where=(WorkerTask.state == "running"), name="worker_tasks_running"
    )
)
WorkerTask.add_index(WorkerTask.index(WorkerTask.finished_at, name="worker_tasks_finished_at"))


class WorkerControl(Table):
    """An operator's command to a node or about a session, until it is done."""

    id = AutoField()
    kind = CharField(max_length=10, constraints=[_one_of("kind", CONTROL_KINDS)])
    state = CharField(
        max_length=12, default="requested", constraints=[_one_of("state", CONTROL_STATES)]
    )
    worker = CharField(max_length=100, default="")
    incarnation = CharField(max_length=40, default="")
    """The incarnation it was sent to; empty: whichever lives."""
    session = ForeignKeyField(Session, null=True, backref="controls", on_delete="SET NULL")
    actor = CharField(max_length=100)
    forced = BooleanField(default=False)
    """A node is ended as it is, without being emptied first."""
    note = TextField(default="")
    """How far it is, or why it failed."""
    created_at = UtcField(default=utc_now)
    sent_at = UtcField(null=True)
    acknowledged_at = UtcField(null=True)
    finished_at = UtcField(null=True)

    class Meta:
        """History is read by node."""

        table_name = "worker_controls"
        indexes = ((("worker",), False),)


WorkerControl.add_index(
    WorkerControl.index(
        WorkerControl.id,
        where=(WorkerControl.state.in_(("requested", "sent", "acknowledged"))),
        name="worker_controls_open",
    )
)
WorkerControl.add_index(
    WorkerControl.index(WorkerControl.finished_at, name="worker_controls_finished_at")
)


class WorkerAnalytics(Table):
    """A node's metrics: one sample, or a minute's or an hour's roll-up."""

    id = AutoField()
    worker = CharField(max_length=100)
    span = IntegerField(default=0, constraints=[SQL("DEFAULT 0"), Check("span IN (0, 60, 3600)")])
    """Seconds that the row covers; 0: one sample."""
    at = UtcField(default=utc_now)
    """The sample's instant, or the beginning of what is covered."""
    samples = IntegerField(default=1, constraints=[SQL("DEFAULT 1")])
    rss = BigIntegerField()
    rss_max = BigIntegerField(constraints=[SQL("DEFAULT 0")])
    cpu = FloatField()
    cpu_max = FloatField(constraints=[SQL("DEFAULT 0")])
    sessions = IntegerField()
    sessions_max = IntegerField(constraints=[SQL("DEFAULT 0")])
    forwarded = BigIntegerField()
    """Messages forwarded since the row before it."""
    load = FloatField()
    load_max = FloatField(constraints=[SQL("DEFAULT 0")])

    class Meta:
        """Read by node and time, rolled up and pruned by time."""

        table_name = "worker_analytics"
        indexes = ((("worker", "span", "at"), True), (("span", "at"), False))


class ScalingEvent(Table):
    """A change of what the scaling check recommends."""

    id = AutoField()
    at = UtcField(default=utc_now, index=True)
    decision = CharField(max_length=4, constraints=[_one_of("decision", SCALING_DECISIONS)])
    current = IntegerField()
    desired = IntegerField()
    reason = TextField()
    figures = JsonField()

    class Meta:
        """Plural."""

        table_name = "scaling_events"


class ApiToken(Table):
    """A bearer token of the REST API; only its digest is kept."""

    id = AutoField()
    name = CharField(max_length=100, unique=True)
    digest = CharField(max_length=64, unique=True)
    scopes = JsonField()
    created_at = UtcField(default=utc_now)
    expires_at = UtcField(null=True)
    last_used_at = UtcField(null=True)
    revoked_at = UtcField(null=True)

    class Meta:
        """Plural."""

        table_name = "api_tokens"


class AuditEntry(Table):
    """One change that somebody made; each entry seals the one before it.

    The database refuses to update or delete entries (triggers of the migration).
    """

    id = IntegerField(primary_key=True)
    """1, 2, 3, … without a gap."""
    at = UtcField()
    actor = CharField(max_length=100)
    action = CharField(max_length=60)
    target = CharField(max_length=255, index=True)
    details = JsonField()
    previous = CharField(max_length=64)
    digest = CharField(max_length=64)

    class Meta:
        """A log."""

        table_name = "audit_log"


class AuditHead(Table):
    """The audit log's length and last digest: one row, which serialises writers."""

    id = IntegerField(primary_key=True, constraints=[Check("id = 1")])
    entries = IntegerField(default=0)
    digest = CharField(max_length=64, default="")

    class Meta:
        """One row."""

        table_name = "audit_head"


class ClusterState(Table):
    """What the coordinators of this database share: one row."""

    id = IntegerField(primary_key=True, constraints=[Check("id = 1")])
    generation = IntegerField(default=0)
    term = BigIntegerField(default=0)
    reports_read = CharField(max_length=40, default="0", constraints=[SQL("DEFAULT '0'")])
    next_session = IntegerField(default=1, constraints=[SQL("DEFAULT 1")])
    """The id that the next new session gets."""
    minutes_to = UtcField(null=True)
    """Samples before it are rolled up into minutes."""
    hours_to = UtcField(null=True)
    """Minutes before it are rolled up into hours."""

    class Meta:
        """One row."""

        table_name = "cluster_state"


ALL = (
    User,
    Session,
    Rule,
    SessionCursor,
    Worker,
    SessionAssignment,
    SessionQueue,
    WorkerTask,
    WorkerControl,
    WorkerAnalytics,
    ScalingEvent,
    ApiToken,
    AuditEntry,
    AuditHead,
    ClusterState,
)
"""In an order in which each table comes after those it refers to."""
