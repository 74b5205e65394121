"""The tables of nodes, and of what the coordinators share."""

from __future__ import annotations

from peewee import SQL, BigIntegerField, CharField, Check, IntegerField

from models.base import JsonField, Table, UtcField, one_of, utc_now
from models.states import DESIRED_WORKER_STATES


class ClusterState(Table):
    """State that the coordinators of this database share: one row."""

    id = IntegerField(primary_key=True, constraints=[Check("id = 1")])
    generation = IntegerField(default=0)
    term = BigIntegerField(default=0)
    reports_read = CharField(max_length=40, default="0", constraints=[SQL("DEFAULT '0'")])
    """The id of the last report read; it means nothing in another Redis process."""
    reports_run_id = CharField(max_length=40, default="", constraints=[SQL("DEFAULT ''")])
    """The run id of the Redis process in which it was read."""
    next_session = IntegerField(default=1, constraints=[SQL("DEFAULT 1")])
    """The id of the next new session."""
    next_rule = IntegerField(default=1, constraints=[SQL("DEFAULT 1")])
    """The id of the next new rule at least, in SQLite; Postgres has a sequence."""
    minutes_to = UtcField(null=True)
    """Samples before this time are rolled up into minutes."""
    hours_to = UtcField(null=True)
    """Minutes before this time are rolled up into hours."""
    commits = BigIntegerField(default=0, constraints=[SQL("DEFAULT 0")])
    """How many transactions leaders have committed."""

    class Meta:
        table_name = "cluster_state"


class Worker(Table):
    """A node by its latest incarnation, with its desired state."""

    name = CharField(max_length=100, primary_key=True)
    incarnation = CharField(max_length=40)
    hostname = CharField(max_length=255)
    state = CharField(max_length=10)
    desired_state = CharField(
        max_length=10,
        default="ready",
        constraints=[one_of("desired_state", DESIRED_WORKER_STATES)],
    )
    """Survives restarts of the node."""
    forwarded = BigIntegerField(default=0, constraints=[SQL("DEFAULT 0")])
    """Messages that this incarnation had forwarded when it was last seen."""
    labels = JsonField(default=dict, constraints=[SQL("DEFAULT '{}'")])
    first_seen = UtcField(default=utc_now)
    last_seen = UtcField(default=utc_now)

    class Meta:
        table_name = "workers"
