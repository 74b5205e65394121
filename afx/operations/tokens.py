"""Bearer tokens of the REST API: who may do what, and until when."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from afx.errors import ForbiddenError, UsageError
from afx.operations.changes import change
from afx.operations.context import ANY, Actor, Context, operation
from afx.operations.pages import Page, page_of
from afx.security.keyfile import cookie_keys as cookie_keys_of
from models.base import utc_now
from models.storage import tokens, users

NOUNS = (
    "analytics",
    "audit",
    "cluster",
    "config",
    "control",
    "coordinator",
    "database",
    "doctor",
    "overflow",
    "proxy",
    "queue",
    "rebalance",
    "review",
    "rule",
    "scaling",
    "schedule",
    "session",
    "task",
    "token",
    "user",
    "webhook",
    "worker",
)
"""What scopes are about."""
VERBS = ("read", "write")
MOST_DAYS = 400
_MOST_SCOPES = 64
_FIRST_DAYS = 30.0
_ACCESSOR_BYTES = 6
_SECRET_BYTES = 32
_FORM = re.compile(r"afx_([0-9a-f]{12})_([A-Za-z0-9_-]{43})", re.ASCII)


@dataclass(slots=True, frozen=True)
class TokenRow:
    """One token of a list; what it grants, not what it is."""

    id: int
    name: str
    accessor: str
    """The part of the token that is no secret."""
    scopes: Sequence[str]
    owner: str | None
    """The user whose sessions alone exist for it; None: all do."""
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


@dataclass(slots=True, frozen=True)
class IssuedToken:
    """A token as its bearer gets it, once."""

    id: int
    name: str
    token: str
    scopes: Sequence[str]
    owner: str | None
    expires_at: datetime


@dataclass(slots=True, frozen=True)
class ValidToken:
    """A token that is accepted now."""

    id: int
    name: str
    accessor: str
    digest: str
    actor: Actor
    expires_at: datetime


@operation("token:read")
def listing(context: Context, *, after: str | None = None, limit: int = 100) -> Page[TokenRow]:
    """Return tokens, also expired and revoked ones, by name."""
    del context
    return page_of(TokenRow, tokens.listing(after=after, limit=limit))


@operation("token:read")
def show(context: Context, name: str) -> TokenRow:
    """Return one token; raises NotFoundError when there is none."""
    del context
    return TokenRow(**tokens.find(name))


@operation("token:write")
def create(
    context: Context, name: str, *, scopes: Sequence[str], owner: str = "", days: float = 30.0
) -> IssuedToken:
    """Make a token; the only time that its text is seen.

    ``days`` until it expires. Raises UsageError for what is no scope and a wrong time,
    ForbiddenError for a scope that the actor itself lacks.
    """
    chosen = tuple(dict.fromkeys(scopes))
    _check_scopes(context.actor, chosen)
    if not 0 < days <= MOST_DAYS:
        raise UsageError(f"A token expires after at most {MOST_DAYS} days; give fewer.")
    user = users.find(owner) if owner else None
    accessor, text = _new_text()
    expires_at = utc_now() + timedelta(days=days)
    with change(context, "token.create", f"token/{name}") as details:
        stored = tokens.NewToken(name, accessor, digest_of(text), chosen, user, expires_at)
        token_id = tokens.create(stored)
        details["after"] = {
            "accessor": accessor,
            "scopes": list(chosen),
            "owner": user.name if user else None,
            "expires_at": expires_at.isoformat(),
        }
    return IssuedToken(token_id, name, text, chosen, str(user.name) if user else None, expires_at)


@operation("token:write")
def first_token(context: Context) -> str:
    """Return a token with all scopes if no token was ever made; empty otherwise."""
    if tokens.listing(limit=1).rows:
        return ""
    return create(context, "first", scopes=[ANY], days=_FIRST_DAYS).token


@operation("token:write")
def revoke(context: Context, name: str) -> str:
    """Revoke a token, for good; returns its full name."""
    token = TokenRow(**tokens.find(name))
    with change(context, "token.revoke", f"token/{token.name}") as details:
        tokens.revoke(token.id)
        details["before"] = {"accessor": token.accessor, "revoked": token.revoked_at is not None}
    return token.name


@operation("token:read")
def valid(context: Context) -> tuple[dict[str, ValidToken], frozenset[str]]:
    """Return the tokens that are accepted now, by accessor, and the sign-ins that were ended."""
    del context
    found = {
        it["accessor"]: ValidToken(
            it["id"],
            it["name"],
            it["accessor"],
            it["digest"],
            Actor(
                f"token:{it['name']}"[:100], frozenset(map(str, it["scopes"])), it["owner"] or ""
            ),
            it["expires_at"],
        )
        for it in tokens.valid()
    }
    return found, tokens.signed_out()


@operation("token:write")
def note_used(context: Context, uses: Sequence[tuple[int, datetime]]) -> None:
    """Note when tokens, by id, were last used."""
    del context
    tokens.note_used(uses)


@operation("token:write")
def sign_out(context: Context, nonce: str, expires_at: datetime) -> None:
    """End a browser's sign-in before it expires."""
    del context
    tokens.sign_out(nonce, expires_at)


@operation("token:read")
def cookie_keys(context: Context) -> list[bytes]:
    """Return the keys that seal the cookies of signed-in browsers, newest first."""
    return cookie_keys_of(context.servers.secret_keys())


def accessor_of(text: str) -> str | None:
    """Return the accessor of a token's text; None for what is no token."""
    found = _FORM.fullmatch(text)
    return found[1] if found else None


def digest_of(text: str) -> str:
    """Return what is stored of a token: the SHA-256 of its text, hexadecimal.

    The text has 256 random bits, so a slow hash would add nothing.
    """
    return hashlib.sha256(text.encode()).hexdigest()


def _new_text() -> tuple[str, str]:
    accessor = secrets.token_hex(_ACCESSOR_BYTES)
    return accessor, f"afx_{accessor}_{secrets.token_urlsafe(_SECRET_BYTES)}"


def _check_scopes(actor: Actor, scopes: Sequence[str]) -> None:
    if not scopes or len(scopes) > _MOST_SCOPES:
        raise UsageError(f"A token has 1 to {_MOST_SCOPES} scopes, such as session:read.")
    for it in scopes:
        noun, _, verb = it.partition(":")
        known = noun in (*NOUNS, ANY) and verb in (*VERBS, ANY) and it != f"{ANY}:{ANY}"
        if it != ANY and not known:
            raise UsageError(
                "A scope is NOUN:VERB, such as session:read; the nouns are "
                f"{', '.join(NOUNS)}, the verbs {', '.join(VERBS)}, and * means any."
            )
        if not _may_grant(actor, noun, verb):
            raise ForbiddenError(
                f"{actor.name} lacks the scope '{it}' and cannot grant it; use a token that has it."
            )


def _may_grant(actor: Actor, noun: str, verb: str) -> bool:
    """Return whether an actor has all of a scope, which may have wildcards."""
    if noun == ANY and not verb:
        return ANY in actor.scopes
    wider = {ANY, f"{noun}:{verb}", f"{noun}:{ANY}", f"{ANY}:{verb}"}
    return not wider.isdisjoint(actor.scopes)
