"""The tables of webhooks: who is told of what, and how far each delivery has come."""

from __future__ import annotations

from enum import StrEnum

from peewee import (
    SQL,
    AutoField,
    CharField,
    Check,
    ForeignKeyField,
    IntegerField,
    TextField,
)

from models.accounts import User
from models.base import JsonField, Table, UtcField, utc_now

WEBHOOK_STATES = ("active", "suspended")
DELIVERY_STATES = ("waiting", "delivered", "failed")


class EventKind(StrEnum):
    """What webhooks are told of."""

    LOGIN_NEEDED = "session.login_needed"
    """Telegram no longer accepts a session's login."""
    TROUBLED = "session.troubled"
    """A session has failed several times in a row, and is retried rarely."""
    HEALTH = "session.health"
    """What Telegram lets a session's account do has changed."""
    RULE_DISABLED = "rule.disabled"
    """A rule does not forward all that it should."""
    RULE_CAPPED = "rule.capped"
    """A rule has sent what its caps allow, and goes on at the next hour, or day."""
    RULE_ALERT = "rule.alert"
    """A message of a rule's sources meets the condition of its alerts."""
    DEAD_LETTER = "message.dead_letter"
    """A message was given up."""
    WORKER_LOST = "worker.lost"
    """A node has died without having left."""
    BRAKE_HELD = "cluster.brake_held"
    """Most nodes were lost at once, and nothing is placed for a while."""
    SCALING = "cluster.scaling"
    """The recommendation of how many nodes the cluster needs has changed."""
    SUSPENDED = "webhook.suspended"
    """A webhook has failed for long, and gets nothing any more."""
    TEST = "webhook.test"
    """Somebody tries a webhook."""


class Webhook(Table):
    """A subscription: the events of some kinds go to a URL."""

    id = AutoField()
    name = CharField(max_length=100, unique=True)
    url = CharField(max_length=500)
    kinds = JsonField()
    """Values of ``EventKind``; none: all."""
    owner = ForeignKeyField(User, null=True, backref="webhooks", on_delete="CASCADE")
    """The user of whose sessions it is told; empty: of everything."""
    secret = TextField()
    """Sealed by the vault; by it the requests are signed."""
    previous_secret = TextField(default="", constraints=[SQL("DEFAULT ''")])
    """Signs too, for a day after ``rotated_at``."""
    rotated_at = UtcField(null=True)
    state = CharField(
        max_length=10, default="active", constraints=[Check(f"state IN {WEBHOOK_STATES}")]
    )
    failing_since = UtcField(null=True)
    """Since when every delivery has failed."""
    error = TextField(default="", constraints=[SQL("DEFAULT ''")])
    """The last failure; empty after a success."""
    left_out = IntegerField(default=0, constraints=[SQL("DEFAULT 0")])
    """Events that it was not told of, because too many waited."""
    created_at = UtcField(default=utc_now)

    class Meta:
        table_name = "webhooks"


class WebhookEvent(Table):
    """Something that happened, of which at least one webhook is to be told."""

    id = AutoField()
    key = CharField(max_length=32, unique=True)
    """Random, so that it is never used again, not by a restored database either."""
    unique_key = CharField(max_length=200, null=True, unique=True)
    """What happens once is told once."""
    kind = CharField(max_length=40)
    subject = CharField(max_length=255)
    owner = ForeignKeyField(User, null=True, on_delete="CASCADE")
    details = JsonField()
    at = UtcField(default=utc_now, index=True)

    class Meta:
        table_name = "webhook_events"


class WebhookDelivery(Table):
    """One event on its way to one webhook."""

    id = AutoField()
    webhook = ForeignKeyField(Webhook, backref="deliveries", on_delete="CASCADE", index=False)
    event = ForeignKeyField(WebhookEvent, backref="deliveries", on_delete="CASCADE")
    state = CharField(
        max_length=10, default="waiting", constraints=[Check(f"state IN {DELIVERY_STATES}")]
    )
    attempts = IntegerField(default=0)
    next_at = UtcField(default=utc_now)
    """When it is tried next; while it is tried, when it is tried again if nobody says more."""
    status = IntegerField(null=True)
    """Of the last answer."""
    error = TextField(default="")
    created_at = UtcField(default=utc_now)
    finished_at = UtcField(null=True)

    class Meta:
        table_name = "webhook_deliveries"
        indexes = ((("webhook", "id"), False),)


WebhookDelivery.add_index(
    WebhookDelivery.index(
        WebhookDelivery.webhook,
        WebhookDelivery.next_at,
        where=(WebhookDelivery.state == "waiting"),
        name="webhook_deliveries_waiting",
    )
)
WebhookDelivery.add_index(
    WebhookDelivery.index(WebhookDelivery.finished_at, name="webhook_deliveries_finished_at")
)
