"""The conversation of ``afx session login``."""

from __future__ import annotations

import asyncio
import getpass
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from afx.app import SignedIn
    from afx.config import Settings


def sign_in(settings: Settings, *, phone: str, qr: bool, bot: bool, sandbox: bool) -> SignedIn:
    """Ask whatever is needed on the terminal and sign in."""
    from afx import app

    return app.sign_in(
        settings, ask=_ask, show_qr=_show_qr if qr else None, phone=phone, bot=bot, sandbox=sandbox
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
