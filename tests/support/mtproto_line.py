"""For tests of the MTProto layer: a sender, and the server's end of its line, in memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from telethon.crypto import AuthKey
from telethon.tl import types
from telethon.tl.core import MessageContainer, TLMessage

from afx.sandbox.mtproto import crypto, messages
from afx.telegram.mtproto import Sender

KEY = AuthKey(bytes(range(256)))


class ServerKey:
    """The key as the server's half of the encryption wants it."""

    data = KEY.key
    key_id = KEY.key_id


class FakeConnection:
    """Stands in for a connection: records what is written, and hands on what arrives."""

    def __init__(self) -> None:
        self.is_full = False
        self.refuses: OSError | None = None
        self.is_open = False
        self.written: list[list[Any]] = []
        self.receiver: Any = None
        self._connected = True

    async def connect(self, timeout: float | None = None) -> None:  # noqa: ASYNC109
        if self.refuses:
            raise self.refuses
        self.is_open = True

    async def disconnect(self) -> None:
        self.is_open = False

    def deliver_to(self, receiver: Any) -> None:
        self.receiver = receiver

    def write(self, data: bytes) -> None:
        if self.refuses:
            raise self.refuses
        plain = crypto.decrypt(ServerKey, data)
        assert plain is not None
        *_, msg_id, _seq, size = crypto.HEADER.unpack_from(plain)
        body = plain[crypto.HEADER.size :][:size]
        if messages.kind(body) == MessageContainer.CONSTRUCTOR_ID:
            parts = [(it_id, it) for it_id, _, it in messages.unpack_container(body)]
        else:
            parts = [(msg_id, body)]
        self.written.append([Sent(it_id, messages.read_object(it)) for it_id, it in parts])


class Sent:
    def __init__(self, msg_id: int, request: Any) -> None:
        self.msg_id = msg_id
        self.request = request


class Line:
    """A connected sender, and the server's end of its line."""

    def __init__(self) -> None:
        self.updates: list[Any] = []
        self.connection = FakeConnection()
        self.sender = Sender(KEY, self.updates.append)
        self._id = int(time.time()) << 32 | 1

    @property
    def sent(self) -> list[list[Any]]:
        """The requests of each packet."""
        return [[it.request for it in packet] for packet in self.connection.written]

    def next_id(self) -> int:
        self._id += 4
        return self._id

    def push(self, body: Any, msg_id: int = 0) -> int:
        """Let the server send one message; returns its id."""
        msg_id = msg_id or self.next_id()
        data = bytes(body)
        session = self.sender._state.id
        head = crypto.HEADER.pack(0, session, msg_id, 1, len(data))
        self.connection.receiver.receive(crypto.encrypt(ServerKey, head + data))
        return msg_id

    def answer(self, asked: Sent, result: bytes) -> int:
        return self.push(messages.pack_result(asked.msg_id, result))


Scenario = Callable[[Line], Awaitable[None]]


def run(scenario: Scenario) -> Line:
    async def connected() -> Line:
        line = Line()
        await line.sender.connect(line.connection)
        async with asyncio.timeout(20):
            await scenario(line)
        await line.sender.disconnect()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return line

    return asyncio.run(connected())


async def turn() -> None:
    """Let the loop do what is due."""
    for _ in range(3):
        await asyncio.sleep(0)


def note(number: int) -> Any:
    return types.UpdateShort(types.UpdateChannel(number), None)


class Raw:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def __bytes__(self) -> bytes:
        return self._data


class Container:
    def __init__(self, inner: list[TLMessage]) -> None:
        self._inner = inner

    def __bytes__(self) -> bytes:
        return messages.pack_container(
            [(it.msg_id, it.seq_no, bytes(it.obj)) for it in self._inner]
        )
