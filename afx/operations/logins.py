"""Telegram logins from outside: Telethon's session strings and files.

Telethon is not imported: it takes half a second, and an import of thousands of
lines reads no more than these few bytes. The string is ``1`` and, in base64,
one byte of data centre, four or sixteen of address, two of port, and the key of
256 bytes (telethon/sessions/string.py).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import ipaddress
import sqlite3
import struct
from pathlib import Path
from urllib.parse import quote

from afx.errors import UsageError

_KEY_BYTES = 256
_LARGEST_FILE = 64 * 1024 * 1024


def check(text: str) -> str:
    """Return a session string, stripped, if it is one.

    Raises UsageError otherwise; the string itself is never shown.
    """
    _key(text.strip())
    return text.strip()


def fingerprint(text: str) -> str:
    """Return what tells a login from others: SHA-256 of its key, in hexadecimal.

    The key is 256 random bytes, so the digest gives nothing of it away.
    """
    return hashlib.sha256(_key(text)).hexdigest()


def from_file(path: Path) -> str:
    """Return the session string of a Telethon ``.session`` file (SQLite).

    The file is only read. Raises UsageError when it is none, or holds no login.
    """
    if not path.is_file():
        raise UsageError(f"There is no file {path}.")
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise UsageError(f"{path} is too large to be a Telethon session file.")
        database = sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)
        try:
            row = database.execute(
                "SELECT dc_id, server_address, port, auth_key FROM sessions"
            ).fetchone()
        finally:
            database.close()
    except (sqlite3.Error, OSError) as error:
        raise UsageError(f"{path} is no Telethon session file ({error}).") from error
    if row is None or not row[3]:
        raise UsageError(f"{path} holds no login; sign in with it first.")
    try:
        address = ipaddress.ip_address(row[1]).packed
        packed = struct.pack(f">B{len(address)}sH256s", row[0], address, row[2], row[3])
    except (ValueError, TypeError, struct.error) as error:
        raise UsageError(f"{path} is damaged: its server or key makes no sense.") from error
    return check("1" + base64.urlsafe_b64encode(packed).decode())


def _key(text: str) -> bytes:
    """Return the key of a session string; raises UsageError when it is none."""
    try:
        if not text.startswith("1") or not text.isascii():
            raise ValueError("not version 1")
        data = base64.b64decode(text[1:], altchars=b"-_", validate=True)
        address = {1 + 4 + 2 + _KEY_BYTES: 4, 1 + 16 + 2 + _KEY_BYTES: 16}[len(data)]
        data_centre, _, port, key = struct.unpack(f">B{address}sH{_KEY_BYTES}s", data)
        if not data_centre or not port or not any(key):
            raise ValueError("empty")
    except (ValueError, KeyError, binascii.Error, struct.error) as error:
        raise UsageError("That is no Telethon session string; nothing was added.") from error
    return bytes(key)
