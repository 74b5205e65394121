"""Requests with an idempotency key, and the answers that their repetitions get."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from models.accounts import ApiRequest
from models.base import execute, is_postgres, micros, transaction, utc_now

KEPT = timedelta(hours=24)
_PRUNED_AT_ONCE = 50


def claim(token: int, key: str, digest: str) -> dict[str, Any] | None:
    """Take a key for a request, inside its transaction; None: it was free.

    Otherwise returns the earlier request with ``digest``, ``status`` (0: it is under way),
    ``headers`` and ``body``. Waits for a request with the same key whose transaction is open,
    and keeps others with the key waiting.
    """
    now = utc_now()
    with transaction():
        # Another process prunes the same rows at the same time: neither waits for the other.
        old = execute(
            "SELECT id FROM api_requests WHERE created_at < ? ORDER BY created_at LIMIT ?"
            f"{' FOR UPDATE SKIP LOCKED' if is_postgres() else ''}",
            micros(now - KEPT),
            _PRUNED_AT_ONCE,
        ).fetchall()
        ApiRequest.delete().where(ApiRequest.id.in_([it for (it,) in old])).execute()
        # One that expired but is not among those that were pruned.
        ApiRequest.delete().where(
            ApiRequest.token == token, ApiRequest.key == key, ApiRequest.created_at < now - KEPT
        ).execute()
        added = execute(
            "INSERT INTO api_requests (token_id, key, digest, status, headers, body, created_at)"
            " VALUES (?, ?, ?, 0, ?, '', ?) ON CONFLICT (token_id, key) DO NOTHING",
            token,
            key,
            digest,
            json.dumps({}),
            micros(now),
        ).rowcount
        if added:
            return None
        query = ApiRequest.select().where(ApiRequest.token == token, ApiRequest.key == key)
        if is_postgres():
            query = query.for_update()
        found: dict[str, Any] = query.dicts().get()
        return found


def answer(token: int, key: str, *, status: int, headers: dict[str, str], body: str) -> None:
    """Store the answer to a request whose key was taken."""
    with transaction():
        ApiRequest.update(status=status, headers=headers, body=body).where(
            ApiRequest.token == token, ApiRequest.key == key
        ).execute()
