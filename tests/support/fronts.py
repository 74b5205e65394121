"""Proxies in front of a test's sandbox."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from support.sandbox import SandboxHarness

from afx.proxies import Proxy, ProxyKind
from afx.sandbox.fronts.front import Front
from afx.sandbox.fronts.mtproxy import MtProxy
from afx.sandbox.fronts.socks import HttpConnect, Socks5

SECRET = bytes(range(16))
EXIT = "127.0.0.77"
LOGIN = ("ann", "pass:word")


@asynccontextmanager
async def front_of(
    sandbox: SandboxHarness, kind: ProxyKind, *, login: bool = False, exit_address: str = EXIT
) -> AsyncIterator[tuple[Front, Proxy]]:
    """A proxy that leads to the sandbox; clients come from ``exit_address`` there."""
    user, password = LOGIN if login else ("", "")
    greeting: Any
    if kind is ProxyKind.MTPROXY:
        server = sandbox.server
        greeting = MtProxy(SECRET, lambda: {2: (server.host, server.port)})
    else:
        greeting = (Socks5 if kind is ProxyKind.SOCKS5 else HttpConnect)(user, password)
    front = Front(greeting, allows=lambda _host, _port: True, exit_address=exit_address)
    await front.start()
    secret = SECRET if kind is ProxyKind.MTPROXY else b""
    try:
        yield front, Proxy(kind, front.host, front.port, user, password, secret)
    finally:
        await front.stop()
