"""Webhooks: subscriptions, the events that they are told of, and their deliveries."""

from peewee import (
    SQL,
    AutoField,
    BigIntegerField,
    CharField,
    Check,
    ForeignKeyField,
    IntegerField,
    TextField,
)


def up(migrator, db):
    class User(db.Model):
        id = AutoField()

        class Meta:
            table_name = "users"

    class Webhook(db.Model):
        id = AutoField()
        name = CharField(max_length=100, unique=True)
        url = CharField(max_length=500)
        kinds = TextField()
        owner = ForeignKeyField(User, null=True, on_delete="CASCADE")
        secret = TextField()
        previous_secret = TextField(constraints=[SQL("DEFAULT ''")])
        rotated_at = BigIntegerField(null=True)
        state = CharField(max_length=10, constraints=[Check("state IN ('active', 'suspended')")])
        failing_since = BigIntegerField(null=True)
        error = TextField(constraints=[SQL("DEFAULT ''")])
        left_out = IntegerField(constraints=[SQL("DEFAULT 0")])
        created_at = BigIntegerField()

        class Meta:
            table_name = "webhooks"

    class WebhookEvent(db.Model):
        id = AutoField()
        key = CharField(max_length=32, unique=True)
        unique_key = CharField(max_length=200, null=True, unique=True)
        kind = CharField(max_length=40)
        subject = CharField(max_length=255)
        owner = ForeignKeyField(User, null=True, on_delete="CASCADE")
        details = TextField()
        at = BigIntegerField(index=True)

        class Meta:
            table_name = "webhook_events"

    class WebhookDelivery(db.Model):
        id = AutoField()
        webhook = ForeignKeyField(Webhook, on_delete="CASCADE", index=False)
        event = ForeignKeyField(WebhookEvent, on_delete="CASCADE")
        state = CharField(
            max_length=10, constraints=[Check("state IN ('waiting', 'delivered', 'failed')")]
        )
        attempts = IntegerField()
        next_at = BigIntegerField()
        status = IntegerField(null=True)
        error = TextField()
        created_at = BigIntegerField()
        finished_at = BigIntegerField(null=True)

        class Meta:
            table_name = "webhook_deliveries"
            indexes = ((("webhook", "id"), False),)

    delivery = WebhookDelivery
    waiting = delivery.index(
        delivery.webhook,
        delivery.next_at,
        where=(delivery.state == "waiting"),
        name="webhook_deliveries_waiting",
    )
    delivery.add_index(waiting)
    delivery.add_index(delivery.index(delivery.finished_at, name="webhook_deliveries_finished_at"))
    db.create_tables([Webhook, WebhookEvent, WebhookDelivery])


def down(migrator, db):
    for name in ("webhook_deliveries", "webhook_events", "webhooks"):
        db.execute_sql(f"DROP TABLE {name}")
