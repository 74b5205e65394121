"""Proxies through which sessions reach Telegram, and what sessions store of theirs."""

from __future__ import annotations

from peewee import SQL, AutoField, CharField, ForeignKeyField, IntegerField, TextField

from models.base import JsonField, Table, UtcField, one_of, utc_now
from models.states import PROXY_KINDS, PROXY_STATES


class Proxy(Table):
    """One proxy; sessions that have it never connect in another way."""

    id = AutoField()
    name = CharField(max_length=100, unique=True)
    pool = CharField(max_length=100, default="", constraints=[SQL("DEFAULT ''")])
    """Sessions may get any proxy of a pool; empty: it is in none."""
    kind = CharField(max_length=10, constraints=[one_of("kind", PROXY_KINDS)])
    host = CharField(max_length=255)
    port = IntegerField()
    sealed = TextField()
    """The whole of it, with its secrets, sealed by the vault for this proxy."""
    requires = JsonField(default=dict, constraints=[SQL("DEFAULT '{}'")])
    """Labels of the nodes from which it can be reached."""
    state = CharField(
        max_length=10,
        default="unknown",
        constraints=[SQL("DEFAULT 'unknown'"), one_of("state", PROXY_STATES)],
    )
    state_since = UtcField(null=True)
    checked_at = UtcField(null=True)
    """When it was last checked, or a session last showed its state."""
    error = CharField(max_length=200, default="", constraints=[SQL("DEFAULT ''")])
    """Why it fails."""
    created_at = UtcField(default=utc_now)

    class Meta:
        table_name = "proxies"


class ProxyFields(Table):
    """The column of ``sessions`` that is about the proxy; no table of its own."""

    proxy = ForeignKeyField(Proxy, null=True, backref="sessions", on_delete="RESTRICT")
    """The only way in which it connects; none: directly."""
