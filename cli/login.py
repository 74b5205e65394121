"""The conversation of ``afx session login``."""

from __future__ import annotations

import asyncio
import getpass
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from afx.app import SignedIn
    from afx.config import Settings


def sign_in(
    settings: Settings,
    *,
    phone: str,
    qr: bool,
    bot: bool,
    sandbox: bool,
    proxy_url: str = "",
    device: str = "",
) -> SignedIn:
    """Ask whatever is needed on the terminal and sign in; with ``proxy_url`` through it alone."""
    from afx import app

    return app.sign_in(
        settings,
        ask=_ask,
        show_qr=_show_qr if qr else None,
        phone=phone,
        bot=bot,
        sandbox=sandbox,
        proxy_url=proxy_url,
        device=device,
    )


@contextmanager
def ended_unless_kept(
    settings: Settings, signed: SignedIn, *, sandbox: bool, proxy_url: str = ""
) -> Iterator[None]:
    """End a login at Telegram when the block, which is to store it, refuses it.

    Else it would stay in the account's list of devices, and nobody had it. After another
    error it may be stored, so it stays.
    """
    from afx import app
    from afx.errors import AfxError, ConflictError, SecretError, UsageError

    try:
        yield
    except (UsageError, ConflictError, SecretError):
        try:
            app.sign_out(settings, signed.login, sandbox=sandbox, proxy_url=proxy_url)
        except AfxError:
            print("End this login in the account's list of devices.", file=sys.stderr)
        raise


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
