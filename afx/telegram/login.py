"""Signing in to Telegram: by phone and code, or by a QR code; then two steps."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from telethon import TelegramClient, errors, utils
from telethon.network import ConnectionTcpFull
from telethon.sessions import StringSession
from telethon.tl import functions

from afx.devices import Device
from afx.errors import AfxError, UnreachableError, UsageError
from afx.proxies import Proxy
from afx.telegram.errors import error_name
from afx.telegram.transport import guarded_connection, routed

_TRIES = 3
_QR_MINUTES = 5
_SIGN_OUT_SECONDS = 30.0
_IN_FLIGHT_SECONDS = 30.0
_BOT_TOKEN = re.compile(r"[0-9]{3,20}:[A-Za-z0-9_-]{20,100}", re.ASCII)

Ask = Callable[[str, bool], Awaitable[str]]
"""Asks a person a question; the second argument says whether the answer is secret."""
ShowQr = Callable[[str], None]
"""Shows a link as a QR code; called again when the last one has expired."""


@dataclass(slots=True, frozen=True)
class Signed:
    """The result of a sign-in."""

    login: str
    """A Telethon session string: a password."""
    account: str
    """The account, as people know it."""
    account_id: int
    bot: bool


@dataclass(slots=True, frozen=True)
class Server:
    """A server other than Telegram's own: the sandbox."""

    host: str
    port: int
    public_key: str


async def sign_in(
    *,
    api_id: int,
    api_hash: str,
    ask: Ask,
    show_qr: ShowQr | None = None,
    phone: str = "",
    bot: bool = False,
    server: Server | None = None,
    proxy: Proxy | None = None,
    device: Device | None = None,
) -> Signed:
    """Sign in, and return the login; the connection is closed by then.

    With ``show_qr`` by QR code, as a ``bot`` by its token, which is asked for, else by phone
    (asked for if it is empty) and code. With ``proxy`` through it alone; the account's list of
    devices has ``device``. Raises UsageError for what Telegram refuses, AfxError when it asks
    to wait, UnreachableError without an answer.
    """
    session = StringSession()
    if device is not None and device.api_id:
        api_id, api_hash = device.api_id, device.api_hash
    client = client_for(session, api_id, api_hash, server, proxy, device)
    try:
        await connect(client, proxy)
        with refusals():
            if bot:
                await _as_bot(client, ask)
            elif show_qr:
                await _by_qr(client, ask, show_qr)
            else:
                await _by_phone(client, ask, phone)
            me = await client.get_me()
        return Signed(str(session.save()), account_name(me), int(me.id), bool(me.bot))
    finally:
        await client.disconnect()


async def sign_out(
    text: str,
    *,
    api_id: int,
    api_hash: str,
    server: Server | None = None,
    proxy: Proxy | None = None,
) -> None:
    """End a login, given as a session string. Source: method/auth.logOut.

    Raises UnreachableError when Telegram does not answer, or does not do it.
    """
    client = client_for(StringSession(text), api_id, api_hash, server, proxy)
    try:
        async with asyncio.timeout(_SIGN_OUT_SECONDS):
            await connect(client, proxy)
            await client(functions.auth.LogOutRequest())
    except (errors.RPCError, OSError) as error:
        raise UnreachableError(
            f"The login was not ended ({error_name(error)}); end it in the list of devices."
        ) from error
    finally:
        await client.disconnect()


def client_for(
    session: StringSession,
    api_id: int,
    api_hash: str,
    server: Server | None,
    proxy: Proxy | None,
    device: Device | None = None,
) -> Any:
    """Return a client of a session, which connects through ``proxy`` alone, if there is one."""
    if server:
        from telethon.crypto import rsa

        rsa.add_key(server.public_key, old=False)
        if not session.auth_key:
            session.set_dc(2, server.host, server.port)
    client = TelegramClient(
        session,
        api_id,
        api_hash,
        connection=ConnectionTcpFull,
        timeout=10,
        connection_retries=2,
        retry_delay=1,
        flood_sleep_threshold=0,
        receive_updates=True,
        **_introduction(device or Device("afx")),
    )
    if proxy is not None:
        # Its own connections know fewer proxies.
        direct = guarded_connection(lambda: True, lambda _host, _port: True, _IN_FLIGHT_SECONDS)
        client._connection = routed(direct, proxy)  # noqa: SLF001
    return client


def _introduction(device: Device) -> dict[str, str]:
    """Return what Telethon says of a device, as its hosted session does later."""
    return {
        "device_model": device.model,
        "system_version": device.system,
        "app_version": device.app,
        "lang_code": device.lang,
        "system_lang_code": device.system_lang,
    }


async def connect(client: Any, proxy: Proxy | None) -> None:
    """Connect a client; raises UnreachableError."""
    try:
        await client.connect()
    except (OSError, TimeoutError) as error:
        if proxy is not None:
            raise UnreachableError(
                "Telegram does not answer through the session's proxy, and nothing was sent "
                "another way; see 'afx proxy check'."
            ) from error
        raise UnreachableError(
            f"Telegram does not answer ({error or 'it took too long'}); check the network."
        ) from error


async def _by_phone(client: Any, ask: Ask, phone: str) -> None:
    phone = utils.parse_phone(phone or await ask("Phone number, with country code", False)) or ""
    if not phone:
        raise UsageError("That is no phone number; give it as +15551234567.")
    sent = await client.send_code_request(phone)
    for left in range(_TRIES - 1, -1, -1):
        code = "".join((await ask("The code that Telegram has sent", False)).split())
        try:
            if not code:
                raise ValueError("empty")  # Telethon would ask for another one
            await client.sign_in(phone, code, phone_code_hash=sent.phone_code_hash)
            return
        except errors.SessionPasswordNeededError:
            await _second_step(client, ask)
            return
        except (errors.PhoneCodeInvalidError, errors.PhoneCodeEmptyError, ValueError) as error:
            if not left:
                raise UsageError("The code was wrong three times; start again.") from error


async def _as_bot(client: Any, ask: Ask) -> None:
    token = (await ask("The bot's token, from BotFather", True)).strip()
    if not _BOT_TOKEN.fullmatch(token):
        raise UsageError("That is no bot's token; it looks like 123456789:AAF0… . Nothing is done.")
    # Not sign_in: it remembers the token for as long as the client lives.
    await client(
        functions.auth.ImportBotAuthorizationRequest(
            flags=0, api_id=client.api_id, api_hash=client.api_hash, bot_auth_token=token
        )
    )


async def _by_qr(client: Any, ask: Ask, show_qr: ShowQr) -> None:
    login = await client.qr_login()
    until = asyncio.get_running_loop().time() + _QR_MINUTES * 60
    while True:
        show_qr(login.url)
        try:
            await login.wait()
            return
        except errors.SessionPasswordNeededError:
            await _second_step(client, ask)
            return
        except TimeoutError:
            if asyncio.get_running_loop().time() > until:
                raise UsageError(
                    "The code was not scanned within five minutes; start again."
                ) from None
            await login.recreate()


async def _second_step(client: Any, ask: Ask) -> None:
    for left in range(_TRIES - 1, -1, -1):
        try:
            await client.sign_in(password=await ask("Password of two-step verification", True))
            return
        except errors.PasswordHashInvalidError as error:
            if not left:
                raise UsageError("The password was wrong three times; start again.") from error


@contextlib.contextmanager
def refusals() -> Any:
    """Turn what Telegram refuses into sentences."""
    try:
        yield
    except errors.FloodWaitError as error:
        raise AfxError(
            f"Telegram asks to wait {error.seconds} seconds before the next try."
        ) from error
    except errors.ApiIdInvalidError as error:
        raise UsageError(
            "Telegram does not know AFX_API_ID and AFX_API_HASH; take them from my.telegram.org."
        ) from error
    except (errors.AccessTokenInvalidError, errors.AccessTokenExpiredError) as error:
        raise UsageError(
            "Telegram does not know this bot's token; ask BotFather for the one that is valid."
        ) from error
    except errors.PhoneNumberInvalidError as error:
        raise UsageError("Telegram knows no such phone number; give it as +15551234567.") from error
    except errors.PhoneCodeExpiredError as error:
        raise UsageError("The code has expired; start again.") from error
    except errors.RPCError as error:
        raise UsageError(f"Telegram refused to sign in ({error}).") from error
    except (ConnectionError, asyncio.IncompleteReadError) as error:
        raise UnreachableError("The connection to Telegram broke; try again.") from error


def account_name(me: Any) -> str:
    """Return an account as people know it."""
    name = f"@{me.username}" if me.username else utils.get_display_name(me)
    return f"{name} (id {me.id})"
