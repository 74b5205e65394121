"""The connection to Telegram: nothing that it wrote is delivered long after its end."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import defaultdict
from typing import Any

import pytest

from afx.telegram.transport import guarded_connection


def test_a_closed_connection_drops_what_was_not_delivered() -> None:
    """Neither Telethon's buffer nor the kernel's sends anything after the end."""
    size = 50_000_000
    with socket.create_server(("127.0.0.1", 0)) as server:
        accepted: list[socket.socket] = []

        async def scenario() -> None:
            loggers: Any = defaultdict(lambda: logging.getLogger("afx.test"))
            connection = guarded_connection(lambda: True, lambda _host, _port: True, 2.0)(
                *server.getsockname(), 2, loggers=loggers
            )
            await connection.connect(timeout=5)
            accepted.append(server.accept()[0])
            # No one reads at the other end: the data stays in the buffers.
            connection._transport.write(bytes(size))
            await connection.disconnect()

        asyncio.run(scenario())
        [other] = accepted
        with other:
            other.settimeout(10)
            received = 0
            with pytest.raises(ConnectionResetError):
                while data := other.recv(1 << 20):
                    received += len(data)
        assert received < size


def test_a_connection_to_a_server_that_is_not_allowed_is_not_opened() -> None:
    """Also when Telegram's own configuration sends the client there."""
    asked: list[tuple[str, int]] = []

    def allows(host: str, port: int) -> bool:
        asked.append((host, port))
        return False

    async def scenario() -> None:
        loggers: Any = defaultdict(lambda: logging.getLogger("afx.test"))
        connection = guarded_connection(lambda: True, allows, 2.0)(
            *server.getsockname(), 2, loggers=loggers
        )
        with pytest.raises(ConnectionError):
            await connection.connect(timeout=5)

    with socket.create_server(("127.0.0.1", 0)) as server:
        asyncio.run(scenario())
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()
        assert asked == [server.getsockname()]


def test_a_connection_gives_up_what_is_not_acknowledged_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        async def scenario() -> int:
            loggers: Any = defaultdict(lambda: logging.getLogger("afx.test"))
            connection = guarded_connection(lambda: True, lambda _host, _port: True, 1.75)(
                *server.getsockname(), 2, loggers=loggers
            )
            await connection.connect(timeout=5)
            sock = connection._transport.get_extra_info("socket")
            milliseconds = int(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT))
            await connection.disconnect()
            return milliseconds

        assert asyncio.run(scenario()) == 1750
