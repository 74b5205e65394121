"""The table of what the coordinators share."""

from __future__ import annotations

from peewee import SQL, BigIntegerField, CharField, Check, IntegerField

from models.base import Table, UtcField


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
    minutes_to = UtcField(null=True)
    """Samples before this time are rolled up into minutes."""
    hours_to = UtcField(null=True)
    """Minutes before this time are rolled up into hours."""
    commits = BigIntegerField(default=0, constraints=[SQL("DEFAULT 0")])
    """How many transactions leaders have committed."""

    class Meta:
        table_name = "cluster_state"
