"""Sign-ins by QR code: tokens, who scanned them, and word of it.

Source: core.telegram.org/api/qr-login.
"""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from telethon.tl import types

if TYPE_CHECKING:
    from afx.sandbox.mtproto.connection import Connection
    from afx.sandbox.mtproto.crypto import AuthKey

_PREFIX = "tg://login?token="
_VALID = timedelta(seconds=30)


@dataclass(slots=True)
class _Token:
    key: int
    connection: Connection
    expires: datetime


class QrLogins:
    """The tokens that are shown somewhere, and the keys whose token was scanned."""

    def __init__(self) -> None:
        self._tokens: dict[bytes, _Token] = {}
        self._scanned: dict[int, int] = {}

    def new(self, key: AuthKey, connection: Connection) -> tuple[bytes, datetime]:
        """Return a token for a key, and when it expires."""
        now = datetime.now(UTC)
        self._tokens = {k: it for k, it in self._tokens.items() if it.expires > now}
        token = secrets.token_bytes(16)
        self._tokens[token] = _Token(key.key_id, connection, now + _VALID)
        return token, now + _VALID

    def scanned(self, key: AuthKey) -> int:
        """Return the account that scanned a key's token, once; else 0."""
        return self._scanned.pop(key.key_id, 0)

    def scan(self, url: str, account: int) -> bool:
        """Let an account take a shown token; False when there is none such."""
        text = url.removeprefix(_PREFIX)
        try:
            token = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except ValueError:
            return False
        held = self._tokens.pop(token, None)
        if held is None or held.expires < datetime.now(UTC):
            return False
        self._scanned[held.key] = account
        update = types.UpdateShort(types.UpdateLoginToken(), datetime.now(UTC))
        held.connection.push(bytes(update))
        return True
