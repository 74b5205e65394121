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

from models.account_fields import AccountFields
from models.accounts import TIERS as TIERS  # noqa: PLC0414
from models.accounts import ApiRequest, ApiSignOut, ApiToken
from models.accounts import User as User  # noqa: PLC0414
from models.analytics_tables import ANALYTICS_TABLES, RuleSums
from models.audit_tables import AuditEntry, AuditHead
from models.base import JsonField, Table, UtcField, one_of, utc_now
from models.bulk_tables import SessionChange, SessionChangeItem
from models.cluster_tables import ClusterState as ClusterState  # noqa: PLC0414
from models.cluster_tables import Worker as Worker  # noqa: PLC0414
from models.hibernation_fields import HibernationFields
from models.proxy_tables import Proxy, ProxyFields
from models.review_tables import HeldFields
from models.states import (
    ASSIGNMENT_STATES,
    CONTROL_KINDS,
    CONTROL_STATES,
    CONTROL_SUBJECTS,
    DESIRED_SESSION_STATES,
    MODES,
    TASK_STATES,
)
from models.task_tables import TaskLog, TaskSchedule
from models.webhook_tables import Webhook, WebhookDelivery, WebhookEvent


class Session(AccountFields, HibernationFields, ProxyFields):
    """One Telegram account's login."""

    id = IntegerField(primary_key=True)
    """Never reused (``cluster_state.next_session``): Redis may still have keys of an old id."""
    user = ForeignKeyField(User, backref="sessions", on_delete="RESTRICT")
    name = CharField(max_length=100, unique=True)
    login = TextField()
    fingerprint = CharField(max_length=64, null=True, unique=True)
    """SHA-256 of the login's key; two sessions with one login would be live twice."""
    desired_state = CharField(
        max_length=10,
        default="running",
        constraints=[one_of("desired_state", DESIRED_SESSION_STATES)],
    )
    removing = BooleanField(default=False)
    """The session will be removed when no node runs it."""
    trouble = TextField(default="")
    retry_at = UtcField(null=True)
    failures = IntegerField(default=0)
    revision = IntegerField(default=1)
    """Rises when the rules change; a session that runs an older revision is restarted."""
    content = IntegerField(default=0, constraints=[SQL("DEFAULT 0")])
    """Rises when filters or transforms of its rules change, and nothing else."""
    renewed = IntegerField(default=0, constraints=[SQL("DEFAULT 0")])
    """The content that its node was told of."""
    requires = JsonField(default=dict, constraints=[SQL("DEFAULT '{}'")])
    """Labels that the node must have."""
    active_at = UtcField(null=True)
    """When the session last forwarded a message, to the minute."""
    moved_at = UtcField(null=True)
    """When the session was last moved by a rebalance, or preempted."""
    created_at = UtcField(default=utc_now)

    class Meta:
        table_name = "sessions"


Session.add_index(
    Session.index(Session.name, where=(Session.trouble != ""), name="sessions_troubled")
)
Session.add_index(
    Session.index(Session.id, where=(Session.desired_state == "paused"), name="sessions_paused")
)
Session.add_index(
    Session.index(
        Session.wakes_at,
        where=(Session.desired_state == "hibernated"),
        name="sessions_hibernated",
    )
)
Session.add_index(
    Session.index(Session.id, where=Session.awake_at.is_null(False), name="sessions_awake")
)
Session.add_index(Session.index(Session.id, where=Session.removing, name="sessions_removing"))
Session.add_index(
    Session.index(Session.id, where=(Session.content > Session.renewed), name="sessions_renewing")
)
Session.add_index(
    Session.index(Session.id, where=(Session.health != "healthy"), name="sessions_unhealthy")
)
Session.add_index(Session.index(Session.moved_at, name="sessions_moved_at"))
Session.add_index(Session.index(Session.user, Session.name, name="sessions_user_name"))


class Rule(Table):
    """Source chats of a session, and the destination chats that get their messages."""

    id = AutoField()
    session = ForeignKeyField(Session, backref="rules", on_delete="CASCADE")
    name = CharField(max_length=100)
    sources = JsonField()
    destinations = JsonField()
    mode = CharField(max_length=10, default="copy", constraints=[one_of("mode", MODES)])
    enabled = BooleanField(default=True)
    created_at = UtcField(default=utc_now)
    filter = JsonField(default=dict, constraints=[SQL("DEFAULT '{}'")])
    """Which messages it forwards; empty takes all."""
    transform = JsonField(default=list, constraints=[SQL("DEFAULT '[]'")])
    """What it changes of its copies."""
    sync = JsonField(default=list, constraints=[SQL("DEFAULT '[]'")])
    """What it follows in its copies: edits, deletes, pins, topics."""
    options = JsonField(default=dict, constraints=[SQL("DEFAULT '{}'")])
    """What else it does, such as ``dedupe``; times are in seconds."""
    trouble = TextField(default="", constraints=[SQL("DEFAULT ''")])
    """Why it does not forward all that it should; empty when it does."""

    class Meta:
        table_name = "rules"
        indexes = ((("session", "name"), True),)


class SessionCursor(Table):
    """A copy of a session's cursor; Redis has a newer one."""

    session = ForeignKeyField(
        Session, primary_key=True, backref="cursor", on_delete="CASCADE", index=False
    )
    fields = TextField()
    """The fields of the cursor in Redis, as JSON."""
    saved_at = UtcField(default=utc_now)

    class Meta:
        table_name = "session_cursors"


class RuleLink(Table):
    """A copy of a block of links; Redis has a newer one."""

    id = AutoField()
    rule = ForeignKeyField(Rule, backref="links", on_delete="CASCADE", index=False)
    source = BigIntegerField()
    destination = BigIntegerField()
    block = BigIntegerField()
    """The number of the block among those of its route."""
    links = TextField()
    """The block as it is in Redis, as base64."""
    saved_at = UtcField(default=utc_now, index=True)

    class Meta:
        table_name = "rule_links"
        indexes = ((("rule", "source", "destination", "block"), True),)


class DeadLetter(Table):
    """Messages of one route that could not be delivered: 256 neighbouring ids at most."""

    id = AutoField()
    rule = ForeignKeyField(Rule, backref="dead_letters", on_delete="CASCADE", index=False)
    source = BigIntegerField()
    destination = BigIntegerField()
    block = BigIntegerField()
    """The ids' quotient by 256."""
    reason = CharField(max_length=40)
    error = CharField(max_length=100)
    """Telegram's name of the last one's error."""
    messages = TextField()
    """Their ids in the source, as ``1-3,9``."""
    count = IntegerField()
    attempts = IntegerField()
    """The most that one of them was tried."""
    first_at = UtcField()
    last_at = UtcField(index=True)

    class Meta:
        table_name = "dead_letters"
        indexes = ((("rule", "source", "destination", "block", "reason"), True),)


class HeldMessage(HeldFields):
    """A message of a route that waits until an operator approves it, or did so."""

    rule = ForeignKeyField(Rule, backref="held", on_delete="CASCADE", index=False)

    class Meta:
        table_name = "held_messages"
        indexes = (
            (("rule", "source", "destination", "message"), True),
            (("rule", "state"), False),
        )


HeldMessage.add_index(
    HeldMessage.index(
        HeldMessage.expires_at,
        where=(HeldMessage.state == "held"),
        name="held_messages_waiting",
    )
)
HeldMessage.add_index(HeldMessage.index(HeldMessage.decided_at, name="held_messages_decided_at"))


class RuleAnalytics(RuleSums):
    """What became of messages of a rule: the sums of an hour, or of a day in UTC."""

    rule = ForeignKeyField(Rule, on_delete="CASCADE", index=False)

    class Meta:
        table_name = "rule_analytics"
        indexes = ((("rule", "span", "at"), True), (("span", "at"), False))


class SessionAssignment(Table):
    """A session's assignment to a node; at most one per session has not ended."""

    id = AutoField()
    session = ForeignKeyField(Session, backref="assignments", on_delete="CASCADE")
    worker = CharField(max_length=100)
    incarnation = CharField(max_length=40)
    epoch = BigIntegerField()
    revision = IntegerField(default=1)
    """The session's revision when it was placed."""
    state = CharField(max_length=10, constraints=[one_of("state", ASSIGNMENT_STATES)])
    reason = TextField(default="")
    assigned_at = UtcField(default=utc_now)
    running_at = UtcField(null=True)
    ended_at = UtcField(null=True)

    class Meta:
        """A unique index allows one assignment per session that has not ended."""

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
        SessionAssignment.state,
        where=(SessionAssignment.state != "ended"),
        name="session_assignments_worker",
    )
)
SessionAssignment.add_index(
    SessionAssignment.index(SessionAssignment.ended_at, name="session_assignments_ended_at")
)


class SessionQueue(Table):
    """An unschedulable session in the overflow queue."""

    session = ForeignKeyField(Session, primary_key=True, on_delete="CASCADE")
    reason = TextField()
    since = UtcField(default=utc_now)
    attempts = IntegerField(default=1)

    class Meta:
        table_name = "session_queue"
        indexes = ((("since", "session"), False),)


class WorkerTask(Table):
    """One task, from its submission to its result."""

    id = AutoField()
    kind = CharField(max_length=40)
    state = CharField(max_length=10, default="queued", constraints=[one_of("state", TASK_STATES)])
    priority = IntegerField(default=2, constraints=[Check("priority BETWEEN 0 AND 3")])
    """The number of its queue: 0 premium, 1 high, 2 default, 3 low."""
    user_id = IntegerField(default=0)
    """The user whose share of the queue it takes; 0: none."""
    session = ForeignKeyField(Session, null=True, backref="tasks", on_delete="SET NULL")
    is_for_session = BooleanField(default=False)
    """It is for a session, also when that one has been removed since."""
    batch_id = IntegerField(null=True)
    """The first task of those that were submitted together."""
    unique_key = CharField(max_length=200, null=True)
    """While a task of a key has not finished, there is no other one of it."""
    publication = IntegerField(default=0)
    """How often it was given to Redis; reports of an earlier publication do not count."""
    worker = CharField(max_length=100, default="")
    incarnation = CharField(max_length=40, default="")
    arguments = TextField()
    """A JSON object; sealed if the kind's arguments hold content."""
    result = JsonField(null=True)
    error = TextField(default="")
    progress = FloatField(default=0.0, constraints=[Check("progress BETWEEN 0 AND 1")])
    cursor = TextField(default="")
    """How far it has come, as JSON: where its next attempt goes on."""
    attempts = IntegerField(default=0)
    max_attempts = IntegerField(default=3, constraints=[Check("max_attempts >= 1")])
    timeout_seconds = IntegerField(default=600, constraints=[Check("timeout_seconds >= 1")])
    cancelling = BooleanField(default=False)
    """Somebody has asked to cancel it, and it has not ended yet."""
    pausing = BooleanField(default=False, constraints=[SQL("DEFAULT FALSE")])
    """Somebody has asked to pause it, and its run has not ended yet."""
    actor = CharField(max_length=100, default="")
    run_after = UtcField(default=utc_now)
    start_by = UtcField(null=True)
    """A task that has not started by then is cancelled."""
    created_at = UtcField(default=utc_now)
    published_at = UtcField(null=True)
    started_at = UtcField(null=True)
    finished_at = UtcField(null=True)

    class Meta:
        table_name = "worker_tasks"
        indexes = ((("kind", "state"), False),)


WorkerTask.add_index(
    WorkerTask.index(
        WorkerTask.priority,
        WorkerTask.user_id,
        WorkerTask.id,
        where=(WorkerTask.state == "queued"),
        name="worker_tasks_queued",
    )
)
WorkerTask.add_index(
    WorkerTask.index(
        WorkerTask.run_after, where=(WorkerTask.state == "waiting"), name="worker_tasks_waiting"
    )
)
WorkerTask.add_index(
    WorkerTask.index(
        WorkerTask.session,
        WorkerTask.id,
        where=(WorkerTask.state.in_(("waiting", "published", "running"))),
        name="worker_tasks_session",
    )
)
WorkerTask.add_index(
    WorkerTask.index(
        WorkerTask.id,
        where=(WorkerTask.state.in_(("published", "running"))),
        name="worker_tasks_given_out",
    )
)
WorkerTask.add_index(
    WorkerTask.index(
        WorkerTask.unique_key,
        unique=True,
        where=(WorkerTask.state.in_(("waiting", "queued", "published", "running", "paused"))),
        name="worker_tasks_unique",
    )
)
WorkerTask.add_index(
    WorkerTask.index(
        WorkerTask.start_by,
        where=(WorkerTask.start_by.is_null(False) & WorkerTask.state.in_(("waiting", "queued"))),
        name="worker_tasks_start_by",
    )
)
WorkerTask.add_index(WorkerTask.index(WorkerTask.batch_id, name="worker_tasks_batch"))
WorkerTask.add_index(WorkerTask.index(WorkerTask.finished_at, name="worker_tasks_finished_at"))


class WorkerControl(Table):
    """A command about a node, a session or the coordinators, from the request to its end."""

    id = AutoField()
    kind = CharField(max_length=10, constraints=[one_of("kind", CONTROL_KINDS)])
    state = CharField(
        max_length=12, default="requested", constraints=[one_of("state", CONTROL_STATES)]
    )
    subject = CharField(max_length=12, constraints=[one_of("subject", CONTROL_SUBJECTS)])
    worker = CharField(max_length=100, default="")
    """The node that it is about, or to which a session moves."""
    incarnation = CharField(max_length=40, default="")
    """The incarnation that it was sent to; empty: the running one."""
    session = ForeignKeyField(Session, null=True, backref="controls", on_delete="SET NULL")
    actor = CharField(max_length=100)
    forced = BooleanField(default=False)
    """The node is restarted without being drained first."""
    note = TextField(default="")
    """The progress, or the reason of a failure."""
    created_at = UtcField(default=utc_now)
    sent_at = UtcField(null=True)
    acknowledged_at = UtcField(null=True)
    finished_at = UtcField(null=True, index=True)

    class Meta:
        table_name = "worker_controls"
        indexes = ((("worker",), False),)


WorkerControl.add_index(
    WorkerControl.index(
        WorkerControl.id,
        where=(WorkerControl.state.in_(("requested", "sent", "acknowledged"))),
        name="worker_controls_open",
    )
)


ALL = (
    User,
    Proxy,
    Session,
    Rule,
    SessionCursor,
    RuleLink,
    DeadLetter,
    HeldMessage,
    Worker,
    SessionAssignment,
    SessionQueue,
    WorkerTask,
    TaskLog,
    TaskSchedule,
    WorkerControl,
    *ANALYTICS_TABLES,
    RuleAnalytics,
    ApiToken,
    ApiRequest,
    ApiSignOut,
    SessionChange,
    SessionChangeItem,
    Webhook,
    WebhookEvent,
    WebhookDelivery,
    AuditEntry,
    AuditHead,
    ClusterState,
)
"""Each table comes after the tables that it refers to."""
