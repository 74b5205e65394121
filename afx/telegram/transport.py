"""The connection of a client: written to only while its node's lease lasts.

It is an asyncio protocol in place of Telethon's streams, which cost each connection two
tasks, two queues and a reader (about 11 KiB). It carries MTProto packets in the full
transport (core.telegram.org/mtproto/mtproto-transports, "Full").
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, cast
from zlib import crc32

from telethon.errors import InvalidBufferError, InvalidChecksumError
from telethon.network.connection.connection import Connection

from afx.proxies import Proxy, ProxyKind
from afx.reasons import FailureReason
from afx.telegram.proxied import ProxyError, socket_through, socket_to

if TYPE_CHECKING:
    from afx.telegram.mtproxy import Obfuscated

_HEAD = struct.Struct("<ii")
_CHECKSUM = struct.Struct("<I")
_LEAST, _MOST = _HEAD.size + _CHECKSUM.size, 1 << 24
"""Bytes of a packet with its head and checksum."""
_MOST_UNREAD = 32
"""Packets that wait to be read; while there are more, nothing is read from the socket."""
_CLOSE_SECONDS = 10.0


class Receiver(Protocol):
    """What takes the packets of a connection where they arrive."""

    def receive(self, packet: bytes) -> None:
        """Take a packet."""

    def flush(self) -> None:
        """Go on writing: the transport has room again."""

    def lost(self, error: Exception) -> None:
        """The connection has ended; nothing more arrives."""


class _LeasedConnection(Connection, asyncio.Protocol):  # type: ignore[misc]
    """One TCP connection; it sends and receives whole packets.

    Packets go to a ``Receiver``. While there is none, they wait for ``recv``: for Telethon
    when it agrees upon a key, and for its senders with tasks (files of other data centres).
    """

    # What ``guarded_connection`` sets.
    guard: Callable[[], bool]
    allows: Callable[[str, int], bool]
    in_flight_seconds: float
    through: Proxy | None = None
    """By way of which it connects, and in no other one."""
    _obfuscated: Obfuscated | None = None
    """The framing of an MTProxy, in place of the full transport's."""

    def __init__(
        self, ip: str, port: int, dc_id: int, *, through: Proxy | None = None, **_options: Any
    ) -> None:
        # Telethon's own constructor would make the queues.
        if through is not None:
            self.through = through
        self._ip = ip
        self._port = port
        self._dc_id = dc_id
        self._connected = False
        self._transport: asyncio.Transport | None = None
        self._lost: asyncio.Future[None] | None = None
        """Done when the transport is closed."""
        self._error: Exception | None = None
        self._buffer: bytearray | None = None
        """The beginning of a packet."""
        self._packets: list[bytes] | None = None
        """Packets for which there is no receiver yet."""
        self._receiver: Receiver | None = None
        self._sent = 0
        self._is_paused = False
        self.is_full = False
        """The transport has no room."""
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None

    # --- what Telethon calls ------------------------------------------------------------

    async def connect(
        self,
        timeout: float | None = None,  # noqa: ASYNC109
        ssl: Any = None,
    ) -> None:
        """Connect; raises ConnectionError, OSError or TimeoutError."""
        if not self.guard():
            raise ConnectionError("the node's lease has run out")
        if not self.allows(self._ip, self._port):
            raise ConnectionError(f"{self._ip}:{self._port} is not a server of Telegram")
        await self._close()
        self._error = self._buffer = self._packets = self._receiver = None
        self._sent, self._is_paused, self.is_full = 0, False, False
        if self.through is not None:
            await self._connect_through(self.through, timeout)
        else:
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(timeout):
                await loop.create_connection(lambda: self, self._ip, self._port, ssl=ssl)
        assert self._transport is not None
        try:
            _limit_delivery(self._transport, self.in_flight_seconds)
        except OSError:
            await self._close()
            raise
        self._connected = True
        if self._obfuscated is not None:
            self._transport.write(self._obfuscated.head)

    async def disconnect(self) -> None:
        """Drop what is not delivered, and close; no connection exists when it returns.

        What the transport still has must not be written out after the session has been
        reported as stopped.
        """
        self._connected = False
        self._receiver = None
        await self._close()

    def deliver_to(self, receiver: Receiver) -> None:
        """Hand packets on where they arrive, from now on; none may wait in ``recv``."""
        self._receiver = receiver
        self._deliver()
        if self._error is not None:
            receiver.lost(self._error)

    def write(self, data: bytes) -> None:
        """Write a packet, to be called while the transport has room; raises ConnectionError."""
        if self._transport is None or self._error or not self._connected:
            raise ConnectionError("the connection is closed")
        if not self.guard():
            self._connected = False
            self._transport.abort()
            raise ConnectionError("the node's lease has run out")
        if self._obfuscated is None:
            self._transport.write(_packed(self._sent, data))
        else:
            self._transport.write(self._obfuscated.packed(data))
        self._sent += 1

    async def send(self, data: bytes) -> None:
        """Write a packet; returns when the transport has room for the next one.

        Raises ConnectionError.
        """
        self.write(data)
        while self.is_full and not self._error:
            self._writer = asyncio.get_running_loop().create_future()
            try:
                await self._writer
            finally:
                self._writer = None

    async def recv(self) -> bytes:
        """Return the next packet; raises ConnectionError, or what was wrong with it."""
        while not self._packets:
            if self._error or not self._connected:
                raise self._error or ConnectionError("the connection is closed")
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        packet = self._packets.pop(0)
        if len(self._packets) <= _MOST_UNREAD // 2:
            self._resume_reading()
        return packet

    # --- what asyncio calls ---------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's has another base

    def data_received(self, data: bytes) -> None:
        """Take the packets that are complete."""
        if self._error:
            return
        if self._obfuscated is not None:
            self._take_obfuscated(self._obfuscated, data)
            return
        if self._buffer:
            self._buffer += data
            if _is_incomplete(self._buffer):
                return
            data = bytes(self._buffer)
        wrong = None
        try:
            rest = self._take(data)
            self._buffer = bytearray(rest) if rest else None
        except (InvalidBufferError, InvalidChecksumError) as error:
            wrong = error  # where the next packet begins is unknown
        self._deliver()
        if wrong is not None:
            self._abort(wrong)

    def pause_writing(self) -> None:
        """The transport has no room."""
        self.is_full = True

    def resume_writing(self) -> None:
        """The transport has room again."""
        self.is_full = False
        _wake(self._writer)
        if self._receiver is not None:
            self._receiver.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._transport = None
        self._connected = False
        error = exc or ConnectionError("the connection was closed")
        if self._obfuscated is not None and self._obfuscated.is_unanswered:
            error = self._unanswered()
        self._fail(error)
        _wake(self._lost)

    # --- steps ----------------------------------------------------------------------------

    async def _connect_through(self, proxy: Proxy, timeout: float | None) -> None:  # noqa: ASYNC109
        """Connect by way of a proxy, and in no other one; raises ProxyError."""
        loop = asyncio.get_running_loop()
        self._obfuscated = None
        try:
            async with asyncio.timeout(timeout):
                if proxy.kind is ProxyKind.MTPROXY:
                    from afx.telegram.mtproxy import Obfuscated

                    sock = await socket_to(proxy)
                    self._obfuscated = Obfuscated(proxy.secret, self._dc_id)
                else:
                    sock = await socket_through(proxy, self._ip, self._port)
                try:
                    await loop.create_connection(lambda: self, sock=sock)
                except BaseException:
                    sock.close()
                    raise
        except TimeoutError as error:
            reason = FailureReason.PROXY_UNREACHABLE
            raise ProxyError(reason, "does not answer") from error

    def _take_obfuscated(self, stream: Obfuscated, data: bytes) -> None:
        """Take the packets that an MTProxy hands on."""
        try:
            self._packets = [*(self._packets or ()), *stream.take(data)]
        except InvalidBufferError as error:
            self._abort(error)
        else:
            self._deliver()

    def _unanswered(self) -> ProxyError:
        text = "ends the connection without an answer; its secret may be wrong"
        return ProxyError(FailureReason.PROXY_REFUSED, text)

    def _abort(self, error: Exception) -> None:
        self._fail(error)
        if self._transport:
            self._transport.abort()

    def _take(self, data: bytes) -> bytes:
        """Add the complete packets of some bytes; returns the bytes after them."""
        packets = self._packets = self._packets or []
        at, end = 0, len(data)
        while end - at >= _HEAD.size:
            length, _sequence = _HEAD.unpack_from(data, at)
            if not _LEAST <= length <= _MOST:
                # The server says with a negative number what is wrong.
                raise InvalidBufferError(data[at : at + 4])
            if end - at < length:
                break
            body_end = at + length - _CHECKSUM.size
            [checksum] = _CHECKSUM.unpack_from(data, body_end)
            valid = crc32(data[at:body_end])
            if checksum != valid:
                raise InvalidChecksumError(checksum, valid)
            packets.append(data[at + _HEAD.size : body_end])
            at += length
        return data[at:]

    def _deliver(self) -> None:
        """Hand on what has arrived; without a receiver, read no more than some packets."""
        if self._receiver is not None:
            packets, self._packets = self._packets or (), None
            for packet in packets:
                if self._receiver is not None:
                    self._receiver.receive(packet)
            self._resume_reading()
        elif self._packets:
            _wake(self._reader)
            if len(self._packets) > _MOST_UNREAD and not self._is_paused and self._transport:
                self._is_paused = True
                self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._is_paused and self._transport:
            self._is_paused = False
            self._transport.resume_reading()

    def _fail(self, error: Exception) -> None:
        if self._error is not None:
            return
        self._error = error
        _wake(self._reader)
        _wake(self._writer)
        if self._receiver is not None:
            self._receiver.lost(error)

    async def _close(self) -> None:
        if self._transport is None:
            return
        if self._lost is None or self._lost.done():
            self._lost = asyncio.get_running_loop().create_future()
        self._transport.abort()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await asyncio.shield(self._lost)


def guarded_connection(
    guard: Callable[[], bool], allows: Callable[[str, int], bool], in_flight_seconds: float
) -> type:
    """Return a connection class that refuses to write when ``guard`` returns False.

    It connects only to what ``allows`` says of host and port, also when a data centre
    sends the client to another one. What it has written reaches Telegram within
    ``in_flight_seconds``, or never.
    """
    members = {
        "guard": staticmethod(guard),
        "allows": staticmethod(allows),
        "in_flight_seconds": in_flight_seconds,
    }
    return type("GuardedConnection", (_LeasedConnection,), members)


def routed(connection: type, proxy: Proxy | None) -> Callable[..., Any]:
    """Return what makes connections of a class that lead through a proxy, if there is one."""
    return connection if proxy is None else partial(connection, through=proxy)


def _packed(sequence: int, data: bytes) -> bytes:
    """Return a packet in the full transport."""
    head = _HEAD.pack(len(data) + _LEAST, sequence)
    return b"".join((head, data, _CHECKSUM.pack(crc32(data, crc32(head)))))


def _is_incomplete(buffer: bytearray) -> bool:
    """Return whether a buffer holds a part of one packet."""
    if len(buffer) < _HEAD.size:
        return True
    length = int(_HEAD.unpack_from(buffer)[0])
    return _LEAST <= length <= _MOST and len(buffer) < length


def _wake(waiting: asyncio.Future[None] | None) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)


def _limit_delivery(transport: asyncio.Transport, seconds: float) -> None:
    """Let the kernel drop a socket's unsent data when it closes or gets no answer.

    By default the kernel goes on sending for minutes, also for a dead process, and
    Telegram would receive data of a session's old connection after its new one.
    Source: socket(7), SO_LINGER; RFC 5482 and tcp(7), TCP_USER_TIMEOUT.
    """
    with socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as copy:
        copy.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        copy.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))
