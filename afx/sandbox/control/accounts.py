"""Calls about accounts, their logins and their sign-ins."""

from __future__ import annotations

import os
from typing import Any

from telethon.crypto import AuthKey as TelethonKey
from telethon.sessions import StringSession

from afx.sandbox.control.calls import Sandbox, call
from afx.sandbox.mtproto.auth_key import AuthKey
from afx.sandbox.server import SandboxServer
from afx.sandbox.telegram import srp
from afx.sandbox.telegram.peers import Account


@call
def provision(sandbox: Sandbox, count: int = 1, name: str = "") -> list[dict[str, Any]]:
    """Create accounts, each with a login ready for use."""
    server = sandbox.server
    return [_login(server, server.world.add_account(name=name)) for _ in range(count)]


@call
def login(sandbox: Sandbox, account: int) -> dict[str, Any]:
    """Make one more login (auth key) for an account."""
    return _login(sandbox.server, sandbox.server.world.accounts[account])


@call
def bot(sandbox: Sandbox, name: str = "") -> dict[str, Any]:
    """Create a bot; it signs in with its ``token``."""
    account = sandbox.server.world.add_bot(name)
    return {**_login(sandbox.server, account), "token": account.bot_token}


@call
def health(sandbox: Sandbox, account: int, health: str) -> str:
    """Make an account healthy, limited, frozen or banned."""
    if health not in ("healthy", "limited", "frozen", "banned"):
        raise ValueError(health)
    sandbox.server.world.accounts[account].health = health  # type: ignore[assignment]
    return health


@call
def premium_only(sandbox: Sandbox, account: int, on: bool = True) -> bool:
    """Let an account take messages of premium accounts only."""
    sandbox.server.world.accounts[account].premium_only = on
    return on


@call
def unused(sandbox: Sandbox, account: int, days: float) -> int:
    """Let an account's logins be unused for so many days more; returns how many it has."""
    found = sandbox.server.logins(account)
    for key in found:
        key.used_at -= days * 86_400
    return len(found)


@call
def login_days(sandbox: Sandbox, account: int, days: int) -> int:
    """Let an account's logins end after so many days without use."""
    sandbox.server.world.accounts[account].login_days = days
    return days


@call
def code(sandbox: Sandbox, phone: str) -> str:
    """Return the code of a sign-in under way."""
    return sandbox.server.sign_ins.code(phone.lstrip("+"))


@call
def password(sandbox: Sandbox, account: int, password: str) -> bool:
    """Set an account's two-step verification; an empty password turns it off."""
    verifier = srp.verifier(password) if password else None
    sandbox.server.world.accounts[account].password = verifier
    return bool(password)


@call
def scan(sandbox: Sandbox, url: str, account: int) -> bool:
    """Scan a QR code with an account's phone."""
    if account not in sandbox.server.world.accounts:
        raise KeyError(account)
    return sandbox.server.sign_ins.qr.scan(url, account)


@call
def status(sandbox: Sandbox, accounts: list[int]) -> dict[str, Any]:
    """Return the connection state of accounts, by id."""
    return {str(it): sandbox.server.connections.status(it) for it in accounts}


def _login(server: SandboxServer, account: Account) -> dict[str, Any]:
    # The first byte is not zero: Telethon strips leading zeros of a key.
    key = AuthKey(b"\x01" + os.urandom(255), account.id)
    server.keys[key.key_id] = key
    session = StringSession()
    session.set_dc(2, server.host, server.port)
    session.auth_key = TelethonKey(key.data)
    return {
        "account": account.id,
        "phone": account.phone,
        "username": account.username,
        "name": account.first_name,
        "login": session.save(),
    }
