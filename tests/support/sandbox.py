"""For tests of Telethon clients: a sandbox in the test's own loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Protocol

from telethon import TelegramClient
from telethon.crypto import AuthKey as TelethonKey
from telethon.sessions import StringSession

from afx.sandbox.mtproto.auth_key import AuthKey
from afx.sandbox.server import SandboxServer
from afx.sandbox.telegram.peers import Account, Channel


class Client(Protocol):
    """What is disconnected at the end of a test."""

    async def disconnect(self) -> None: ...


class SandboxHarness:
    """A sandbox with helpers; everything ends with the test."""

    def __init__(self, server: SandboxServer) -> None:
        self.server = server
        self._clients: list[Client] = []

    def login(self, account: Account, number: int = 1) -> str:
        """Return an account's login; each number is a session of its own."""
        key = AuthKey(bytes([number] * 128) + account.id.to_bytes(128, "big"), account.id)
        self.server.keys[key.key_id] = key
        session = StringSession()
        session.set_dc(2, self.server.host, self.server.port)
        session.auth_key = TelethonKey(key.data)
        return str(session.save())

    def own(self, client: Client) -> None:
        """Disconnect this client when the test ends."""
        self._clients.append(client)

    async def client(
        self, login: str = "", kind: type[TelegramClient] = TelegramClient, **options: Any
    ) -> TelegramClient:
        session = StringSession(login)
        if not login:
            session.set_dc(2, self.server.host, self.server.port)
        client = kind(session, 1, "sandbox", **options)
        self.own(client)
        await client.connect()
        return client

    def channel(self, *members: Account, posters: tuple[Account, ...] = ()) -> Channel:
        return self.server.world.add_channel(
            "channel", members=[it.id for it in members], posters=[it.id for it in posters]
        )

    async def close(self) -> None:
        for client in self._clients:
            await client.disconnect()
        await self.server.stop()


@contextlib.asynccontextmanager
async def running_sandbox(**options: Any) -> AsyncIterator[SandboxHarness]:
    from telethon.crypto import rsa

    server = SandboxServer(**options)
    await server.start()
    rsa.add_key(server.rsa.public_pem.decode(), old=False)
    TelegramClient._config = None  # Telethon would take another sandbox's data centres
    sandbox = SandboxHarness(server)
    try:
        yield sandbox
    finally:
        await sandbox.close()


def run_scenario(
    scenario: Callable[[SandboxHarness], Coroutine[Any, Any, None]],
    seconds: float = 60,
    **options: Any,
) -> None:
    """Run a test's coroutine in a fresh sandbox, for so many seconds at most."""

    async def main() -> None:
        async with asyncio.timeout(seconds), running_sandbox(**options) as sandbox:
            await scenario(sandbox)

    asyncio.run(main())


async def until(condition: Callable[[], Any]) -> None:
    """Wait for a condition; the test's time limit ends a vain wait."""
    while not condition():
        await asyncio.sleep(0.005)
