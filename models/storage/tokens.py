"""Bearer tokens of the REST API; only their digests are stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import peewee
from peewee import JOIN

from afx.errors import ConflictError
from models import names, paging
from models.accounts import ApiSignOut, ApiToken, User
from models.base import execute_many, micros, transaction, utc_now
from models.paging import Page


@dataclass(slots=True, frozen=True)
class NewToken:
    """A token to be stored."""

    name: str
    accessor: str
    digest: str
    """SHA-256 of the token, hexadecimal."""
    scopes: Sequence[str]
    owner: User | None
    expires_at: datetime


def create(new: NewToken) -> int:
    """Store a token's digest; returns its id.

    Raises ConflictError when the name or the token exists already.
    """
    names.check_name("token", new.name)
    try:
        with transaction():
            token = ApiToken.create(
                name=new.name,
                accessor=new.accessor,
                digest=new.digest,
                scopes=list(new.scopes),
                owner=new.owner,
                expires_at=new.expires_at,
            )
            return int(token.id)
    except peewee.IntegrityError as error:
        raise ConflictError(
            f"There is a token '{new.name}' already; choose another name."
        ) from error


def valid() -> list[dict[str, Any]]:
    """Return all tokens that are neither revoked nor expired, with their digests."""
    query = (
        ApiToken.select(
            ApiToken.id,
            ApiToken.name,
            ApiToken.accessor,
            ApiToken.digest,
            ApiToken.scopes,
            User.name.alias("owner"),
            ApiToken.expires_at,
        )
        .join(User, JOIN.LEFT_OUTER)
        .where(ApiToken.revoked_at.is_null(), ApiToken.expires_at > utc_now())
    )
    return list(query.dicts())


def note_used(uses: Sequence[tuple[int, datetime]]) -> None:
    """Set when tokens, by id, were last used; an older time changes nothing."""
    with transaction():
        execute_many(
            "UPDATE api_tokens SET last_used_at = ? WHERE id = ?"
            " AND (last_used_at IS NULL OR last_used_at < ?)",
            # In one order: other processes of the API note the same tokens.
            [(micros(at), it, micros(at)) for it, at in sorted(uses)],
        )


def find(text: str) -> dict[str, Any]:
    """Return one token without its digest, by name or id; raises NotFoundError."""
    token = names.find(ApiToken, "token", text)
    found: dict[str, Any] = _described().where(ApiToken.id == token.id).dicts().get()
    return found


def revoke(token_id: int) -> None:
    """Revoke a token; one that is revoked stays so."""
    with transaction():
        ApiToken.update(revoked_at=utc_now()).where(
            (ApiToken.id == token_id) & ApiToken.revoked_at.is_null()
        ).execute()


def listing(*, after: str | None = None, limit: int = 100) -> Page:
    """Return tokens without their digests, by name."""
    return paging.fetch(_described(), ApiToken.name, after=after, limit=limit)


def sign_out(nonce: str, expires_at: datetime) -> None:
    """Remember that a browser's sign-in was ended; forgets those that have expired."""
    with transaction():
        ApiSignOut.delete().where(ApiSignOut.expires_at < utc_now()).execute()
        ApiSignOut.insert(nonce=nonce, expires_at=expires_at).on_conflict_ignore().execute()


def signed_out() -> frozenset[str]:
    """Return the nonces of sign-ins that were ended and have not expired."""
    query = ApiSignOut.select(ApiSignOut.nonce).where(ApiSignOut.expires_at >= utc_now())
    return frozenset(nonce for (nonce,) in query.tuples())


def _described() -> Any:
    return ApiToken.select(
        ApiToken.id,
        ApiToken.name,
        ApiToken.accessor,
        ApiToken.scopes,
        User.name.alias("owner"),
        ApiToken.created_at,
        ApiToken.expires_at,
        ApiToken.last_used_at,
        ApiToken.revoked_at,
    ).join(User, JOIN.LEFT_OUTER)
