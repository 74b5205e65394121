"""What sessions store of their accounts."""

from __future__ import annotations

from peewee import SQL, BigIntegerField, BooleanField, CharField, TextField

from models.base import Table, UtcField, one_of
from models.states import ACCOUNT_HEALTH


class AccountFields(Table):
    """The columns of ``sessions`` that are about the account; no table of its own."""

    account = BigIntegerField(null=True)
    """Telegram's id of it; None when the login was imported, and nobody has asked."""
    device = TextField(default="", constraints=[SQL("DEFAULT ''")])
    """What it says of itself if it was imported with that, sealed by the vault; else empty."""
    bot = BooleanField(default=False, constraints=[SQL("DEFAULT FALSE")])
    """Whether it is known to be a bot."""
    health = CharField(
        max_length=20,
        default="healthy",
        constraints=[SQL("DEFAULT 'healthy'"), one_of("health", ACCOUNT_HEALTH)],
    )
    """What Telegram lets it do."""
    health_since = UtcField(null=True)
    health_seen = UtcField(null=True)
    """When a report last showed it."""
    health_error = CharField(max_length=200, default="", constraints=[SQL("DEFAULT ''")])
    """What Telegram answered."""
