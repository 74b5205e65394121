"""What the table of held messages has beside its rule."""

from __future__ import annotations

from peewee import AutoField, BigIntegerField, CharField, IntegerField, TextField

from models.base import Table, UtcField, one_of

REVIEW_STATES = ("held", "approved", "released", "rejected", "expired", "deleted")
"""``held`` and ``approved`` wait, for an operator and for their node; the others are ends."""


class HeldFields(Table):
    """The columns of ``HeldMessage`` beside its rule."""

    id = AutoField()
    source = BigIntegerField()
    destination = BigIntegerField()
    message = IntegerField()
    album = IntegerField()
    """The same number for all items of an album; 0 for none."""
    version = BigIntegerField()
    """Of the message's content: an approval is of this one."""
    state = CharField(max_length=10, constraints=[one_of("state", REVIEW_STATES)])
    content = TextField()
    """What would be sent, sealed; empty once it is decided."""
    held_at = UtcField()
    changed_at = UtcField()
    """When its content came."""
    expires_at = UtcField()
    decided_at = UtcField(null=True)
    actor = CharField(max_length=100)
    """Who has decided; empty: nobody."""
