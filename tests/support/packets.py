"""A client that speaks MTProto by hand: what no library lets a test do wrong."""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
import time
from hashlib import sha256
from typing import Any

from support.sandbox import SandboxHarness
from telethon.crypto import AES
from telethon.extensions import BinaryReader
from telethon.tl.alltlobjects import LAYER

from afx.sandbox.mtproto import messages
from afx.sandbox.mtproto.auth_key import AuthKey
from afx.sandbox.mtproto.crypto import HEADER


class Wire:
    """One MTProto session over the intermediate transport."""

    def __init__(self, sandbox: SandboxHarness, key: AuthKey) -> None:
        self.key = key
        self.salt = key.salt
        self.session_id = int.from_bytes(os.urandom(8), "little", signed=True)
        self.last_seq = 0
        self.answer_ids: dict[int, int] = {}
        """The client's message id → that of its result."""
        self.results: dict[int, bytes] = {}
        self._address = (sandbox.server.host, sandbox.server.port)
        self._related = 0
        self._last_id = 0
        self._objects: list[Any] = []
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def reconnect(self) -> None:
        """Open a connection, and close the one before."""
        if self._last_id:
            await self.disconnect()
        self.results.clear()
        self._reader, self._writer = await asyncio.open_connection(*self._address)
        self._writer.write(b"\xee\xee\xee\xee")

    async def disconnect(self) -> None:
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    def next_id(self) -> int:
        self._last_id = max(self._last_id + 4, int(time.time() * 2**32) & ~3)
        return self._last_id

    def send(
        self, body: bytes, *, msg_id: int = 0, seq: int | None = None, content: bool = True
    ) -> int:
        """Send one message, with right numbers unless others are given; returns its id."""
        msg_id = msg_id or self.next_id()
        if seq is None:
            seq = self._related * 2 + content
            self._related += content
        self.last_seq = seq
        self.send_raw(HEADER.pack(self.salt, self.session_id, msg_id, seq, len(body)) + body)
        return msg_id

    def send_raw(self, plain: bytes) -> None:
        """Encrypt a message with its header, and send it."""
        plain += os.urandom(-(len(plain) + 12) % 16 + 12)
        msg_key = sha256(self.key.data[88:120] + plain).digest()[8:24]
        body = AES.encrypt_ige(plain, *_cipher(self.key.data, msg_key, 0))
        packet = struct.pack("<Q", self.key.key_id) + msg_key + body
        self._writer.write(struct.pack("<i", len(packet)) + packet)

    async def ask(self, body: bytes) -> int:
        """Make a request and wait for its answer; returns the request's message id."""
        msg_id = self.send(body)
        await self.receive_result(msg_id)
        return msg_id

    async def receive(self, kind: type) -> Any:
        """Return the next service message of a type."""
        while True:
            for found in self._objects:
                if isinstance(found, kind):
                    self._objects.remove(found)
                    return found
            await self._read()

    async def receive_result(self, msg_id: int) -> bytes:
        """Return the bytes of a request's answer, once."""
        while msg_id not in self.results:
            await self._read()
        return self.results.pop(msg_id)

    async def receive_object(self, msg_id: int) -> Any:
        """Return the object of a request's answer."""
        return _object(await self.receive_result(msg_id))

    async def transport_error(self) -> int:
        """Return the code with which the connection ends."""
        while True:
            packet = await self._packet()
            if len(packet) == 4:
                return int(struct.unpack("<i", packet)[0])

    async def closed(self) -> None:
        """Wait until the server has closed the connection."""
        while await self._reader.read(4096):
            pass

    async def _packet(self) -> bytes:
        size = struct.unpack("<i", await self._reader.readexactly(4))[0]
        return await self._reader.readexactly(size)

    async def _read(self) -> None:
        packet = await self._packet()
        plain = AES.decrypt_ige(packet[24:], *_cipher(self.key.data, packet[8:24], 8))
        _salt, _session, msg_id, seq, size = HEADER.unpack_from(plain)
        body = plain[HEADER.size : HEADER.size + size]
        parts = [(msg_id, seq, body)]
        if messages.kind(body) == messages.CONTAINER:
            parts = messages.unpack_container(body)
        for part_id, _seq, part in parts:
            if messages.kind(part) == messages.RPC_RESULT:
                asked = int.from_bytes(part[4:12], "little", signed=True)
                self.results[asked] = part[12:]
                self.answer_ids[asked] = part_id
            else:
                self._objects.append(_object(part))


async def wire(sandbox: SandboxHarness, account: Any = None) -> Wire:
    """Connect with the key of an account that has named its layer."""
    login = account or sandbox.server.world.add_account()
    key = AuthKey(b"\x01" + os.urandom(255), login.id)
    key.layer = LAYER
    sandbox.server.keys[key.key_id] = key
    line = Wire(sandbox, key)
    await line.reconnect()
    sandbox.own(line)
    return line


def _object(body: bytes) -> Any:
    with BinaryReader(body) as reader:
        return reader.tgread_object()


def _cipher(auth_key: bytes, msg_key: bytes, x: int) -> tuple[bytes, bytes]:
    a = sha256(msg_key + auth_key[x : x + 36]).digest()
    b = sha256(auth_key[x + 40 : x + 76] + msg_key).digest()
    return a[:8] + b[8:24] + a[24:32], b[:8] + a[8:24] + b[24:32]
