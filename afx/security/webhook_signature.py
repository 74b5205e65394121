"""The signature of a webhook's requests: HMAC-SHA256 over the time and the body."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence

_SECRET_BYTES = 32
TOLERANCE_SECONDS = 300
"""A receiver refuses requests that are older, so that nobody repeats one that was overheard."""


def new_secret() -> str:
    """Return a secret for a webhook."""
    return f"whsec_{secrets.token_urlsafe(_SECRET_BYTES)}"


def signature(keys: Sequence[str], timestamp: int, body: bytes) -> str:
    """Return the value of the header ``AFX-Signature``: ``v1=HEX`` for each secret.

    Each is HMAC-SHA256 over ``TIMESTAMP.BODY``, the timestamp in seconds since 1970.
    """
    return ",".join(f"v1={_digest(it, timestamp, body)}" for it in keys)


def verify(secret: str, header: str, timestamp: str, body: bytes, now: float) -> bool:
    """Return whether a request that was received is signed with a secret, and is fresh.

    For receivers that are written in Python.
    """
    if not timestamp.isascii() or not timestamp.isdecimal() or len(timestamp) > 12:
        return False
    if abs(now - int(timestamp)) > TOLERANCE_SECONDS:
        return False
    wanted = f"v1={_digest(secret, int(timestamp), body)}".encode()
    given = [it.strip().encode() for it in header.split(",")]
    return any(hmac.compare_digest(it, wanted) for it in given)


def _digest(secret: str, timestamp: int, body: bytes) -> str:
    return hmac.new(secret.encode(), b"%d." % timestamp + body, hashlib.sha256).hexdigest()
