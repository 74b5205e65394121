"""Signing in step by step: each on a connection of its own, so that no process has to wait.

A step gives a session string of which Telegram does not know the account yet, and the next one
goes on with its key. Source: https://core.telegram.org/api/auth
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from telethon import errors, utils
from telethon.sessions import StringSession

from afx.devices import Device
from afx.errors import UnreachableError, UsageError
from afx.proxies import Proxy
from afx.telegram.login import Server, Signed, account_name, client_for, connect, refusals

T = TypeVar("T")
SECONDS = 40.0
"""For one step, with its connection."""


@dataclass(slots=True, frozen=True)
class At:
    """Where and as what to sign in."""

    api_id: int
    api_hash: str
    server: Server | None = None
    """Another than Telegram's own."""
    proxy: Proxy | None = None
    device: Device | None = None


@dataclass(slots=True, frozen=True)
class Asked:
    """A sign-in that goes on with a code, or with the password of two-step verification."""

    login: str
    """The session string so far: a password, in a moment."""
    phone: str
    code_hash: str
    needs: str
    """``code`` or ``password``."""


async def send_code(phone: str, at: At) -> Asked:
    """Let Telegram send a code to a phone, with its country code.

    Raises UsageError for what Telegram refuses, AfxError when it asks to wait, UnreachableError.
    """
    digits = utils.parse_phone(phone) or ""
    if not digits:
        raise UsageError("That is no phone number; give it as +15551234567. Nothing was done.")

    async def work(client: Any) -> Asked:
        sent = await client.send_code_request(digits)
        return Asked(str(client.session.save()), digits, str(sent.phone_code_hash), "code")

    return await _on_connection("", at, work)


async def give_code(asked: Asked, code: str, at: At) -> Asked | Signed:
    """Go on with the code that was sent; raises UsageError for a wrong one."""
    code = "".join(code.split())
    if not code:
        raise UsageError("The code is empty; give the one that Telegram has sent.")

    async def work(client: Any) -> Asked | Signed:
        try:
            await client.sign_in(asked.phone, code, phone_code_hash=asked.code_hash)
        except errors.SessionPasswordNeededError:
            return Asked(str(client.session.save()), asked.phone, asked.code_hash, "password")
        except (errors.PhoneCodeInvalidError, errors.PhoneCodeEmptyError, ValueError) as error:
            raise UsageError("The code is wrong; give the one that Telegram has sent.") from error
        return await _signed(client)

    return await _on_connection(asked.login, at, work)


async def give_password(asked: Asked, password: str, at: At) -> Signed:
    """Go on with the password of two-step verification; raises UsageError for a wrong one."""

    async def work(client: Any) -> Signed:
        try:
            await client.sign_in(password=password)
        except errors.PasswordHashInvalidError as error:
            raise UsageError("The password is wrong; nothing was changed.") from error
        return await _signed(client)

    return await _on_connection(asked.login, at, work)


async def account_of(login: str, at: At) -> Signed:
    """Return whose a login is, given as a session string; raises UsageError for a dead one."""

    async def work(client: Any) -> Signed:
        try:
            return await _signed(client)
        except errors.UnauthorizedError as error:
            raise UsageError("Telegram does not accept this login; nothing was changed.") from error

    return await _on_connection(login, at, work)


async def _signed(client: Any) -> Signed:
    me = await client.get_me()
    if me is None:  # Telethon's answer for a key of no account
        raise UsageError("Telegram does not accept this login; nothing was changed.")
    return Signed(str(client.session.save()), account_name(me), int(me.id), bool(me.bot))


async def _on_connection(login: str, at: At, work: Callable[[Any], Awaitable[T]]) -> T:
    """Do something on a connection that goes on with a login, or with a new key."""
    api_id, api_hash = at.api_id, at.api_hash
    if at.device is not None and at.device.api_id:
        api_id, api_hash = at.device.api_id, at.device.api_hash
    session = StringSession(login or None)
    client = client_for(session, api_id, api_hash, at.server, at.proxy, at.device)
    try:
        async with asyncio.timeout(SECONDS):
            with refusals():
                await connect(client, at.proxy)
                return await work(client)
    except errors.AuthKeyNotFound as error:
        raise UsageError("Telegram does not know this login; nothing was changed.") from error
    except TimeoutError as error:
        raise UnreachableError("Telegram did not answer in time; try again.") from error
    finally:
        await client.disconnect()
