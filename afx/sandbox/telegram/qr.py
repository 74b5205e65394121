"""Sign-ins by QR code: the tokens that are shown, and the accounts that scanned them.

Source: core.telegram.org/api/qr-login.
"""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from telethon.tl import types

from afx.sandbox.telegram.pushes import Client

_PREFIX = "tg://login?token="
_VALID = timedelta(seconds=30)


@dataclass(slots=True)
class _Token:
    key_id: int
    client: Client
    expires: datetime


class QrLogins:
    """The tokens that are shown somewhere, and the keys whose token was scanned."""

    def __init__(self) -> None:
        self._tokens: dict[bytes, _Token] = {}
        self._scanned: dict[int, int] = {}

    def new(self, key_id: int, client: Client) -> tuple[bytes, datetime]:
        """Return a token for a key, and when it expires."""
        now = datetime.now(UTC)
        self._tokens = {k: it for k, it in self._tokens.items() if it.expires > now}
        token = secrets.token_bytes(16)
        self._tokens[token] = _Token(key_id, client, now + _VALID)
        return token, now + _VALID

    def scanned(self, key_id: int) -> int:
        """Return the account that scanned a key's token, once; else 0."""
        return self._scanned.pop(key_id, 0)

    def scan(self, url: str, account: int) -> bool:
        """Let an account take a shown token; False when no such token is shown."""
        text = url.removeprefix(_PREFIX)
        try:
            token = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except ValueError:
            return False
        shown = self._tokens.pop(token, None)
        if shown is None or shown.expires < datetime.now(UTC):
            return False
        self._scanned[shown.key_id] = account
        update = types.UpdateShort(types.UpdateLoginToken(), datetime.now(UTC))
        shown.client.push(bytes(update))
        return True
