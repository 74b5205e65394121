"""The conversation of ``afx session login``."""

from __future__ import annotations

import asyncio
import getpass
import json
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from afx.config import Settings
    from afx.telegram.login import Server, Signed


def sign_in(held: Settings, *, phone: str, qr: bool, sandbox: bool) -> Signed:
    """Ask whatever is needed on the terminal and sign in."""
    from afx.errors import ConfigError

    server = _sandbox(held) if sandbox else None
    api_id, api_hash = held.api_id, held.api_hash.get_secret_value()
    if server:
        api_id, api_hash = api_id or 1, api_hash or "sandbox"
    elif not api_id or not api_hash:
        raise ConfigError(
            "Signing in needs AFX_API_ID and AFX_API_HASH; get both at https://my.telegram.org."
        )
    from afx.telegram import login

    return asyncio.run(
        login.sign_in(
            api_id=api_id,
            api_hash=api_hash,
            ask=_ask,
            show_qr=_show_qr if qr else None,
            phone=phone,
            server=server,
        )
    )


async def _ask(question: str, secret: bool) -> str:
    # On a thread: the connection has to be kept alive while a person types.
    return await asyncio.to_thread(_read, question, secret)


def _read(question: str, secret: bool) -> str:
    from afx.errors import UsageError

    if secret and sys.stdin.isatty():
        return getpass.getpass(f"{question}: ", sys.stderr)
    print(f"{question}: ", end="", file=sys.stderr, flush=True)
    line = sys.stdin.readline()
    if not line:
        raise UsageError("There is nobody to ask; run it on a terminal. Nothing was added.")
    return line.strip()


def _show_qr(url: str) -> None:
    import segno

    print("Scan this in Telegram: Settings → Devices → Link Desktop Device", file=sys.stderr)
    segno.make(url, error="l").terminal(out=sys.stderr, border=2, compact=True)
    print(url, file=sys.stderr, flush=True)


def _sandbox(held: Settings) -> Server:
    from afx.errors import UnreachableError
    from afx.sandbox.client import ADDRESS_FILE
    from afx.telegram.login import Server

    try:
        address = json.loads((held.home / ADDRESS_FILE).read_text())
    except (OSError, ValueError) as error:
        raise UnreachableError(
            f"No sandbox runs under {held.home}; start one with 'afx sandbox start'."
        ) from error
    return Server(address["host"], address["port"], address["public_key"])
