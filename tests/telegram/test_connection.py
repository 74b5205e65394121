"""The connection to Telegram: what it lets outlive it."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import defaultdict
from typing import Any

import pytest

from afx.telegram.client import guarded_connection


def test_a_closed_connection_takes_back_what_was_not_delivered() -> None:
    """Neither Telethon's buffer nor the kernel's goes on sending after the end."""
    size = 50_000_000
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken: list[socket.socket] = []

        async def scene() -> None:
            loggers: Any = defaultdict(lambda: logging.getLogger("afx.test"))
            connection = guarded_connection(lambda: True, 2.0)(
                *server.getsockname(), 2, loggers=loggers
            )
            await connection.connect(timeout=5)
            taken.append(server.accept()[0])
            # Nobody reads at the other end: it stays in the buffers.
            connection._writer.write(bytes(size))
            await connection.disconnect()

        asyncio.run(scene())
        [other] = taken
        with other:
            other.settimeout(10)
            heard = 0
            with pytest.raises(ConnectionResetError):
                while data := other.recv(1 << 20):
                    heard += len(data)
        assert heard < size


def test_a_connection_gives_up_what_is_not_acknowledged_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        async def scene() -> int:
            loggers: Any = defaultdict(lambda: logging.getLogger("afx.test"))
            connection = guarded_connection(lambda: True, 1.75)(
                *server.getsockname(), 2, loggers=loggers
            )
            await connection.connect(timeout=5)
            held = connection._writer.get_extra_info("socket")
            found = int(held.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT))
            await connection.disconnect()
            return found

        assert asyncio.run(scene()) == 1750
