"""Whether Telegram answers through a proxy: the first step of a key exchange, no account.

Source: core.telegram.org/mtproto/auth_key, steps 1 and 2.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

from telethon.network.mtprotoplainsender import MTProtoPlainSender
from telethon.tl import functions, types

from afx.errors import printable
from afx.proxies import Proxy
from afx.telegram.lazy import LOGGERS
from afx.telegram.login import Server
from afx.telegram.proxied import answered_through, proxy_error_in
from afx.telegram.transport import guarded_connection, routed

_SECONDS = 10.0
_AT_ONCE = 50
_DATA_CENTRE = 2
_ADDRESS = ("149.154.167.51", 443)
"""Data centre 2 (core.telegram.org/api/datacenter); it answers everybody."""


@dataclass(slots=True, frozen=True)
class Check:
    """What a check of one proxy found."""

    error: str
    """Why it fails; empty: it works."""
    milliseconds: int | None
    """How long connecting and the first answer took."""


async def check_proxies(proxies: Sequence[Proxy], server: Server | None = None) -> list[Check]:
    """Return what becomes of a question to Telegram through each of some proxies."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def bounded(proxy: Proxy) -> Check:
        async with gate:
            return await check_proxy(proxy, server)

    return list(await asyncio.gather(*map(bounded, proxies)))


async def check_proxy(
    proxy: Proxy, server: Server | None = None, *, seconds: float = _SECONDS
) -> Check:
    """Return what becomes of a question to Telegram, or the sandbox, through a proxy."""
    address = (server.host, server.port) if server else _ADDRESS
    kind = guarded_connection(lambda: True, lambda _host, _port: True, seconds)
    connection = routed(kind, proxy)(*address, _DATA_CENTRE)
    nonce = int.from_bytes(os.urandom(16), "big", signed=True)
    began = time.monotonic()
    try:
        await connection.connect(timeout=seconds)
        question = functions.ReqPqMultiRequest(nonce)
        asked = MTProtoPlainSender(connection, loggers=LOGGERS).send(question)
        answer = await answered_through(proxy, asked, seconds)
        if not isinstance(answer, types.ResPQ) or answer.nonce != nonce:
            return Check("its proxy leads to something else than Telegram", None)
    except Exception as error:
        # Whatever a stranger's server answers: it is no way to Telegram.
        found = proxy_error_in(error) or error
        return Check(printable(str(found) or type(found).__name__, longest=200), None)
    finally:
        await connection.disconnect()
    return Check("", round((time.monotonic() - began) * 1000))
