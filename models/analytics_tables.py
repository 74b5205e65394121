"""The tables of what nodes measured and counted, and of what the scaling check made of it."""

from __future__ import annotations

from peewee import (
    SQL,
    AutoField,
    BigAutoField,
    BigIntegerField,
    CharField,
    Check,
    FloatField,
    IntegerField,
    TextField,
)

from models.base import JsonField, Table, UtcField, utc_now


class WorkerAnalytics(Table):
    """Metrics of a node: one sample, or the roll-up of a minute or an hour."""

    id = AutoField()
    worker = CharField(max_length=100)
    span = IntegerField(default=0, constraints=[SQL("DEFAULT 0"), Check("span IN (0, 60, 3600)")])
    """Seconds that the row covers; 0: one sample."""
    at = UtcField(default=utc_now)
    """The time of the sample, or the beginning of the roll-up."""
    samples = IntegerField(default=1, constraints=[SQL("DEFAULT 1")])
    rss = BigIntegerField()
    rss_max = BigIntegerField(constraints=[SQL("DEFAULT 0")])
    cpu = FloatField()
    cpu_max = FloatField(constraints=[SQL("DEFAULT 0")])
    sessions = IntegerField()
    sessions_max = IntegerField(constraints=[SQL("DEFAULT 0")])
    forwarded = BigIntegerField()
    """Messages forwarded since the previous row."""
    load = FloatField()
    load_max = FloatField(constraints=[SQL("DEFAULT 0")])

    class Meta:
        table_name = "worker_analytics"
        indexes = ((("worker", "span", "at"), True), (("span", "at"), False))


class ClusterAnalytics(Table):
    """Metrics of the whole cluster: a minute, or the roll-up of an hour."""

    id = AutoField()
    span = IntegerField(constraints=[Check("span IN (60, 3600)")])
    """Seconds that the row covers."""
    at = UtcField()
    """Its beginning."""
    samples = IntegerField(default=1, constraints=[SQL("DEFAULT 1")])
    nodes = FloatField()
    desired = FloatField()
    """Nodes that were recommended."""
    sessions = FloatField()
    sessions_max = IntegerField()
    sessions_limit = FloatField()
    """How many the ready nodes might run."""
    ram_used = BigIntegerField()
    ram_limit = BigIntegerField()
    cpu = FloatField()
    waiting = FloatField()
    """Sessions in the overflow queue."""
    waiting_max = IntegerField()
    tasks_open = FloatField()
    tasks_succeeded = IntegerField()
    tasks_failed = IntegerField()
    forwarded = BigIntegerField()
    hibernated = FloatField(default=0.0, constraints=[SQL("DEFAULT 0")])
    """Sessions that were asleep."""

    class Meta:
        table_name = "cluster_analytics"
        indexes = ((("span", "at"), True),)


class RuleSums(Table):
    """The columns of ``RuleAnalytics`` beside its rule."""

    id = BigAutoField()
    span = IntegerField(constraints=[Check("span IN (3600, 86400)")])
    """Seconds that the row covers."""
    at = UtcField()
    """Its beginning."""
    forwarded = BigIntegerField()
    skipped = BigIntegerField()
    dead = BigIntegerField()
    waits = BigIntegerField()
    waited_ms = BigIntegerField()
    latencies = TextField()
    """Messages by bucket, as ``3:12,4:7`` (see ``afx/cluster/rule_counts.py``)."""


class MessageMinute(Table):
    """What became of messages of all rules: the sums of a minute."""

    id = BigAutoField()
    at = UtcField(unique=True)
    """Its beginning."""
    forwarded = BigIntegerField()
    skipped = BigIntegerField()
    dead = BigIntegerField()
    waits = BigIntegerField()
    waited_ms = BigIntegerField()
    latencies = TextField()

    class Meta:
        table_name = "message_minutes"


class ScalingEvent(Table):
    """A change of the scaling check's recommendation."""

    id = AutoField()
    at = UtcField(default=utc_now, index=True)
    decision = CharField(
        max_length=4,
        constraints=[Check("decision IN ('out', 'in', 'hold')")],
    )
    current = IntegerField()
    desired = IntegerField()
    reason = TextField()
    figures = JsonField()

    class Meta:
        table_name = "scaling_events"


ANALYTICS_TABLES = (WorkerAnalytics, ClusterAnalytics, MessageMinute, ScalingEvent)
"""They refer to no other table."""
