"""The tables of changes of many sessions: what was asked for, and what came of each session."""

from __future__ import annotations

from peewee import AutoField, CharField, ForeignKeyField, IntegerField, TextField

from models.base import Table, UtcField, one_of, utc_now

CHANGE_STATES = ("running", "done", "cancelled", "failed")
ITEM_STATES = ("waiting", "requested", "done", "refused", "cancelled")


class SessionChange(Table):
    """A change of many sessions, which is made step by step."""

    id = AutoField()
    token_id = IntegerField()
    """The token that asked for it: once that is not valid any more, it is cancelled."""
    actor = CharField(max_length=100)
    owner = CharField(max_length=100, default="")
    """The user to whose sessions the actor is limited; empty: to none."""
    verb = CharField(max_length=10)
    node = CharField(max_length=100, default="")
    reason = TextField(default="")
    state = CharField(
        max_length=10, default="running", constraints=[one_of("state", CHANGE_STATES)]
    )
    matched = IntegerField()
    count = IntegerField()
    """Sessions of this change; ``matched`` counts those before and after it, too."""
    requested = IntegerField(default=0)
    done = IntegerField(default=0)
    refused = IntegerField(default=0)
    next = CharField(max_length=100, null=True)
    note = TextField(default="")
    created_at = UtcField(default=utc_now)
    finished_at = UtcField(null=True)

    class Meta:
        table_name = "session_changes"


SessionChange.add_index(
    SessionChange.index(
        SessionChange.id, where=(SessionChange.state == "running"), name="session_changes_running"
    )
)
SessionChange.add_index(
    SessionChange.index(SessionChange.finished_at, name="session_changes_finished_at")
)


class SessionChangeItem(Table):
    """One session of a change, in the order in which they are changed."""

    id = AutoField()
    change = ForeignKeyField(SessionChange, backref="items", on_delete="CASCADE", index=False)
    position = IntegerField()
    session = CharField(max_length=100)
    """Its name, or the id by which it was named."""
    state = CharField(max_length=10, default="waiting", constraints=[one_of("state", ITEM_STATES)])
    control = IntegerField(null=True)
    note = TextField(default="")

    class Meta:
        table_name = "session_change_items"
        indexes = ((("change", "position"), True),)
