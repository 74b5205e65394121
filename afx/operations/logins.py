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
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from afx.devices import LONGEST_FILE, parse_device
from afx.errors import UsageError
from afx.security.login_servers import LoginServers

_KEY_BYTES = 256
_LARGEST_FILE = 64 * 1024 * 1024
_LONGEST_VALUE = 1024 * 1024
_MOST_STEPS = 100_000
"""Of SQLite's virtual machine, for one query; a sound file needs a few dozen."""
_LOCK_SECONDS = 2.0
_COLUMNS = "PRAGMA table_xinfo(sessions)"


def check(text: str) -> str:
    """Return a session string, stripped, if it is one.

    Raises UsageError otherwise; the string itself is never shown.
    """
    _parts(text.strip())
    return text.strip()


def check_server(text: str, servers: LoginServers) -> None:
    """Check that a session string leads to a server that logins may name.

    Raises UsageError: else whoever hands in a login could choose where nodes connect to.
    """
    parts = _parts(text)
    if not servers.allows(parts.host, parts.port):
        raise UsageError(
            f"The login leads to {parts.host}:{parts.port}, which is not a server of Telegram; "
            "name the network of a test server with AFX_TEST_NETWORKS. Nothing was added."
        )


def fingerprint(text: str) -> str:
    """Return what tells a login from others: SHA-256 of its key, in hexadecimal.

    The key is 256 random bytes, so the digest gives nothing of it away.
    """
    return hashlib.sha256(_parts(text).key).hexdigest()


def from_file(path: Path) -> str:
    """Return the session string of a Telethon ``.session`` file (SQLite).

    The file is only read, and somebody else may have made it: it has a table and not a
    view, values have a limit, and a query that takes too long is ended. Raises UsageError
    when it is none, or has no login.
    """
    if not path.is_file():
        raise UsageError(f"There is no file {path}.")
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise UsageError(f"{path} is too large to be a Telethon session file.")
        uri = f"file:{quote(str(path.absolute()))}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=_LOCK_SECONDS)) as database:
            row = _stored_login(database)
    except (sqlite3.Error, OSError, OverflowError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no Telethon session file ({error}).") from error
    if row is None or not row[3]:
        raise UsageError(f"{path} has no login; sign in with it first.")
    try:
        address = ipaddress.ip_address(row[1]).packed
        packed = struct.pack(f">B{len(address)}sH256s", row[0], address, row[2], row[3])
    except (ValueError, TypeError, struct.error) as error:
        raise UsageError(f"{path} is damaged: its server or key makes no sense.") from error
    return check("1" + base64.urlsafe_b64encode(packed).decode())


def device_from_file(path: Path) -> str:
    """Return what a session is to say of itself, of a JSON file; raises UsageError."""
    try:
        with path.open("rb") as file:
            text = file.read(LONGEST_FILE + 1).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read as text ({type(error).__name__}).") from error
    return device_from_text(text)


def device_from_text(text: str) -> str:
    """Return what a session is to say of itself, of a JSON object; raises UsageError."""
    return parse_device(text).text


def _stored_login(database: sqlite3.Connection) -> tuple[Any, ...] | None:
    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE)
    # A callback that returns true ends the query.
    database.set_progress_handler(lambda: True, _MOST_STEPS)
    database.execute("PRAGMA trusted_schema = OFF")
    kind = database.execute("SELECT type FROM sqlite_master WHERE name = 'sessions'").fetchone()
    if kind != ("table",):
        raise sqlite3.DatabaseError("it has no table 'sessions'")
    columns = {name: hidden for _, name, *_, hidden in database.execute(_COLUMNS)}
    if any(columns.get(it) != 0 for it in ("dc_id", "server_address", "port", "auth_key")):
        raise sqlite3.DatabaseError("its table 'sessions' has other columns")
    query = "SELECT dc_id, server_address, port, auth_key FROM sessions LIMIT 1"
    row: tuple[Any, ...] | None = database.execute(query).fetchone()
    return row


@dataclass(slots=True, frozen=True)
class _Parts:
    """What a session string contains."""

    host: str
    port: int
    key: bytes


def _parts(text: str) -> _Parts:
    """Return the parts of a session string; raises UsageError when it is none."""
    try:
        if not text.startswith("1") or not text.isascii():
            raise ValueError("not version 1")
        data = base64.b64decode(text[1:], altchars=b"-_", validate=True)
        length = {1 + 4 + 2 + _KEY_BYTES: 4, 1 + 16 + 2 + _KEY_BYTES: 16}[len(data)]
        data_centre, address, port, key = struct.unpack(f">B{length}sH{_KEY_BYTES}s", data)
        if not data_centre or not port or not any(key):
            raise ValueError("empty")
        return _Parts(str(ipaddress.ip_address(address)), port, key)
    except (ValueError, KeyError, binascii.Error, struct.error) as error:
        raise UsageError("That is no Telethon session string; nothing was added.") from error
