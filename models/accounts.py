"""The tables of users, and of what the API knows of them: tokens, answers, sign-outs."""

from __future__ import annotations

from peewee import SQL, AutoField, CharField, Check, ForeignKeyField, IntegerField, TextField

from models.base import JsonField, Table, UtcField, utc_now

TIERS = ("premium", "free")


class User(Table):
    """A customer. A user owns sessions."""

    id = AutoField()
    name = CharField(max_length=100, unique=True)
    tier = CharField(max_length=10, default="free", constraints=[Check(f"tier IN {TIERS}")])
    created_at = UtcField(default=utc_now)
    task_share = IntegerField(default=1, constraints=[SQL("DEFAULT 1")])
    """How many tasks of the user's run for each one of a user with share 1, of the same queue."""
    task_limit = IntegerField(null=True)
    """How many unfinished tasks the user may have; null: as many as anybody."""

    class Meta:
        table_name = "users"


class ApiToken(Table):
    """A bearer token of the REST API; only its digest is stored."""

    id = AutoField()
    name = CharField(max_length=100, unique=True)
    accessor = CharField(max_length=16, unique=True)
    """The part of the token by which it is found; no secret."""
    digest = CharField(max_length=64, unique=True)
    """SHA-256 of the whole token."""
    scopes = JsonField()
    owner = ForeignKeyField(User, null=True, backref="tokens", on_delete="CASCADE")
    """The user whose sessions alone exist for the token; empty: all do."""
    created_at = UtcField(default=utc_now)
    expires_at = UtcField()
    last_used_at = UtcField(null=True)
    revoked_at = UtcField(null=True)

    class Meta:
        table_name = "api_tokens"


class ApiRequest(Table):
    """A request with an idempotency key, and its answer: a repetition gets the same."""

    id = AutoField()
    token = ForeignKeyField(ApiToken, backref="requests", on_delete="CASCADE", index=False)
    key = CharField(max_length=100)
    digest = CharField(max_length=64)
    """SHA-256 of method, path, query and body."""
    status = IntegerField(default=0)
    headers = JsonField()
    body = TextField(default="")
    created_at = UtcField(default=utc_now, index=True)

    class Meta:
        table_name = "api_requests"
        indexes = ((("token", "key"), True),)


class ApiSignOut(Table):
    """A sign-in of a browser that was ended; remembered until it would have expired."""

    nonce = CharField(max_length=32, primary_key=True)
    expires_at = UtcField(index=True)

    class Meta:
        table_name = "api_sign_outs"
