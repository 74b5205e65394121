"""Signed jobs: JSON with an expiry, bound to the node that may run them."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import Any

from afx.errors import AfxError


class SignatureError(AfxError):
    """A job is not from this cluster, is too old, or is for another node."""


def sign(key: bytes, audience: str, body: dict[str, Any], ttl_seconds: float) -> dict[str, Any]:
    """Return a signed envelope of ``body`` for ``audience``.

    Expiry is wall-clock time and only bounds replay; no decision about leases
    rests on it.
    """
    text = json.dumps(
        {"to": audience, "exp": time.time() + ttl_seconds, "body": body},
        sort_keys=True,
        separators=(",", ":"),
    )
    return {"payload": text, "mac": _mac(key, text)}


def verify(key: bytes, audience: str, envelope: dict[str, Any]) -> dict[str, Any]:
    """Return the body of a signed envelope.

    Raises SignatureError when the signature, the audience or the age is wrong.
    """
    text = str(envelope.get("payload", ""))
    if not hmac.compare_digest(_mac(key, text), str(envelope.get("mac", ""))):
        raise SignatureError("A job's signature is wrong; do all hosts have the same secret key?")
    held = json.loads(text)
    if held["to"] != audience:
        raise SignatureError("A job for another node was refused.")
    if held["exp"] < time.time():
        raise SignatureError("A job came too late and was refused; it will be sent again.")
    body: dict[str, Any] = held["body"]
    return body


def _mac(key: bytes, text: str) -> str:
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
