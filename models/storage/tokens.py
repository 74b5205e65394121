"""Bearer tokens of the REST API; only their digests are stored."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import peewee

from afx.errors import UsageError
from models import names, paging
from models.base import execute_many, micros, transaction, utc_now
from models.paging import Page
from models.tables import ApiToken


def create(
    name: str, digest: str, scopes: Sequence[str], expires_at: datetime | None = None
) -> ApiToken:
    """Store a token's digest (SHA-256, hexadecimal).

    Raises UsageError when the name or the token exists already.
    """
    names.check_name("token", name)
    try:
        with transaction():
            token: ApiToken = ApiToken.create(
                name=name, digest=digest, scopes=list(scopes), expires_at=expires_at
            )
            return token
    except peewee.IntegrityError as error:
        raise UsageError(f"There is a token '{name}' already; choose another name.") from error


def by_digest(digest: str) -> dict[str, Any] | None:
    """Return the token of a digest if it is valid now, else None."""
    now = utc_now()
    found: dict[str, Any] | None = (
        ApiToken.select()
        .where(
            ApiToken.digest == digest,
            ApiToken.revoked_at.is_null(),
            ApiToken.expires_at.is_null() | (ApiToken.expires_at > now),
        )
        .dicts()
        .get_or_none()
    )
    return found


def note_used(ids: Sequence[int]) -> None:
    """Set the time of last use of tokens to now."""
    now = micros(utc_now())
    with transaction():
        execute_many(
            "UPDATE api_tokens SET last_used_at = ? WHERE id = ?", [(now, it) for it in ids]
        )


def revoke(name: str) -> None:
    """Revoke a token; raises UsageError when there is none."""
    token = names.find(ApiToken, "token", name)
    with transaction():
        ApiToken.update(revoked_at=utc_now()).where(
            (ApiToken.id == token.id) & ApiToken.revoked_at.is_null()
        ).execute()


def listing(*, after: str | None = None, limit: int = 100) -> Page:
    """Return tokens without their digests, by name."""
    query = ApiToken.select(
        ApiToken.id,
        ApiToken.name,
        ApiToken.scopes,
        ApiToken.created_at,
        ApiToken.expires_at,
        ApiToken.last_used_at,
        ApiToken.revoked_at,
    )
    return paging.fetch(query, ApiToken.name, after=after, limit=limit)
