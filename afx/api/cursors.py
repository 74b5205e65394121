"""Cursors of lists: where the next page begins, sealed so that nobody can make one up."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from datetime import datetime
from typing import Any

from afx.errors import UsageError

_MAC_BYTES = 12
_LONGEST = 1_000


class CursorError(UsageError):
    """A cursor is not one that this list gave."""


class Cursors:
    """Seals and opens cursors; each is good for one list with one set of filters."""

    def __init__(self, key: bytes) -> None:
        self._key = hmac.digest(key, b"afx cursor 1", "sha256")

    def seal(self, key: Any, subject: str) -> str:
        """Return the cursor of a list's key: a text, a number or an instant."""
        value = {"at": key.isoformat()} if isinstance(key, datetime) else key
        data = json.dumps(value).encode()
        return base64.urlsafe_b64encode(self._mac(data, subject) + data).decode().rstrip("=")

    def open(self, text: str, subject: str) -> Any:
        """Return the key that a cursor holds; raises CursorError for any other text."""
        try:
            if len(text) > _LONGEST or not text.isascii() or "=" in text:
                raise ValueError("too long")
            raw = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
            mac, data = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
            if not hmac.compare_digest(mac, self._mac(data, subject)):
                raise ValueError("not sealed here")
            value = json.loads(data)
            return datetime.fromisoformat(value["at"]) if isinstance(value, dict) else value
        except (ValueError, KeyError, binascii.Error) as error:
            raise CursorError(
                "The cursor is not one of this list with these filters; begin without a cursor."
            ) from error

    def _mac(self, data: bytes, subject: str) -> bytes:
        text = f"{len(subject)}:{subject}".encode() + data
        return hmac.digest(self._key, text, "sha256")[:_MAC_BYTES]
