"""The sandbox's server: puts the wire, the Telegram behind it and the judge together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from afx.sandbox.answers import Answer
from afx.sandbox.judge.faults import Faults
from afx.sandbox.judge.ledger import Ledger
from afx.sandbox.mtproto.auth_key import AuthKey
from afx.sandbox.mtproto.connection import Connection
from afx.sandbox.mtproto.connections import ConnectionTable
from afx.sandbox.mtproto.crypto import ServerKey
from afx.sandbox.mtproto.wire import Wire
from afx.sandbox.strictness import Strictness
from afx.sandbox.telegram.api import Api
from afx.sandbox.telegram.methods.call import Telegram
from afx.sandbox.telegram.pushes import Pushes
from afx.sandbox.telegram.sign_ins import SignIns
from afx.sandbox.telegram.world import CHANNEL_LOG, COMMON_LOG, World


class SandboxServer:
    """One local Telegram: accepts connections on loopback."""

    def __init__(
        self,
        *,
        rules: Strictness | None = None,
        private_key: bytes = b"",
        log_limit: int = CHANNEL_LOG,
        common_log_limit: int = COMMON_LOG,
    ) -> None:
        self.rules = rules or Strictness()
        self.host, self.port = "127.0.0.1", 0
        self.rsa = ServerKey(private_key)
        self.keys: dict[int, AuthKey] = {}
        self.connections = ConnectionTable()
        self.world = World(log_limit=log_limit, common_log_limit=common_log_limit)
        self.sign_ins = SignIns()
        self.faults = Faults(flood_penalty_seconds=self.rules.flood_penalty_seconds)
        self.pushes = Pushes(self.world, self.connections.live, self.faults, _call_later)
        self.ledger = Ledger(self.world, self.connections.overlaps)
        self.api = Api(
            Telegram(
                world=self.world,
                pushes=self.pushes,
                sign_ins=self.sign_ins,
                trouble=self.faults,
                presence=self.connections,
                strictness=self.rules,
                addresses=self.addresses,
                logins=self.logins,
            ),
            self.faults,
        )
        self.second_port = 0
        """Where data centre 4 listens."""
        self._listeners: list[asyncio.Server] = []

    def addresses(self) -> dict[int, tuple[str, int]]:
        """Return where the data centres listen."""
        return {2: (self.host, self.port), 4: (self.host, self.second_port)}

    def logins(self, account: int) -> list[AuthKey]:
        """Return the logins of an account, by its id."""
        return [it for it in self.keys.values() if it.account_id == account]

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; ``port`` 0 takes a free one, which is then in ``port``."""
        loop = asyncio.get_running_loop()
        wire = Wire(
            loop=loop,
            rsa=self.rsa,
            keys=self.keys,
            registry=self.connections,
            faults=self.faults,
            call=self._call,
            rules=self.rules,
        )
        first = await loop.create_server(lambda: Connection(wire), host, port, backlog=4096)
        other = replace(wire, data_centre=4)
        second = await loop.create_server(lambda: Connection(other), host, 0)
        self._listeners = [first, second]
        self.host, self.port = first.sockets[0].getsockname()[:2]
        self.second_port = second.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening, and close all connections."""
        for listener in self._listeners:
            listener.close()
        for connection in list(self.connections):
            connection.abort()

    def _call(self, connection: Connection, request: Any) -> Answer:
        assert connection.key is not None
        return self.api.call(connection, connection.key, request)


def _call_later(seconds: float, function: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_later(seconds, function)
