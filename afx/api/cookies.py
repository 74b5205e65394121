"""The cookie of a signed-in browser: names a token and a time, sealed by the cluster's key.

It does not hold the token. It ends with the token, after twelve hours, or when it is signed
out; each sign-in has a cookie of its own, so none can be planted in advance.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

NAME = "afx"
_OF_THIS_HOST = "__Host-"
"""A browser takes a cookie with this beginning by HTTPS only, and from no other host."""
LIFE_SECONDS = 12 * 3600
_FORM = re.compile(r"([0-9a-f]{12})\.([0-9]{1,12})\.([0-9a-f]{32})\.([0-9a-f]{64})", re.ASCII)


@dataclass(slots=True, frozen=True)
class SignIn:
    """What a cookie says."""

    accessor: str
    expires_at: int
    """Unix seconds."""
    nonce: str


def name_of(scheme: str) -> str:
    """Return what the cookie is called: by HTTPS, a name that no other host can give one."""
    return f"{_OF_THIS_HOST}{NAME}" if scheme == "https" else NAME


def seal(accessor: str, keys: Sequence[bytes], now: float) -> tuple[str, SignIn]:
    """Return a new cookie for the bearer of a token."""
    found = SignIn(accessor, int(now) + LIFE_SECONDS, secrets.token_hex(16))
    return f"{_content(found)}.{_mac(found, keys[0])}", found


def opened(text: str, keys: Sequence[bytes], now: float) -> SignIn | None:
    """Return what a cookie says; None for one that was not sealed here, or has expired."""
    parts = _FORM.fullmatch(text)
    if parts is None:
        return None
    found = SignIn(parts[1], int(parts[2]), parts[3])
    sealed = any(hmac.compare_digest(parts[4], _mac(found, it)) for it in keys)
    return found if sealed and found.expires_at > now else None


def _content(it: SignIn) -> str:
    return f"{it.accessor}.{it.expires_at}.{it.nonce}"


def _mac(it: SignIn, key: bytes) -> str:
    return hmac.new(key, _content(it).encode(), "sha256").hexdigest()
