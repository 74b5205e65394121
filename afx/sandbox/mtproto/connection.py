"""One TCP connection of a client: packets, MTProto session, answers, pushes."""

from __future__ import annotations

import asyncio
import gzip
import logging
import struct
import time
from typing import TYPE_CHECKING, Any, cast

from telethon.errors import TypeNotFoundError
from telethon.extensions import BinaryReader
from telethon.tl import functions, types
from telethon.tl.core import GzipPacked

from afx.sandbox.mtproto import crypto
from afx.sandbox.mtproto.handshake import Handshake, HandshakeError
from afx.sandbox.mtproto.transport import Framer, FramingError

if TYPE_CHECKING:
    from afx.sandbox.server import SandboxServer

_log = logging.getLogger(__name__)
_CONTAINER = 0x73F1F8DC
_ACKS = 0x62D6B459
_PING = 0x7ABE77EC
_RPC_RESULT = 0xF35C6D01
_GZIPPED = 0x3072CFA1
_GZIP_OVER = 2048
_MAX_BATCH = 100
_MAX_BATCH_BYTES = 512 * 1024
_KEY_UNKNOWN = struct.pack("<i", -404)


class RpcError(Exception):
    """A request is refused, with Telegram's code and message."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Connection(asyncio.Protocol):
    """A client's connection; it belongs to one auth key once that is known."""

    __slots__ = (
        "_failed",
        "_flush_due",
        "_framer",
        "_handshake",
        "_last_id",
        "_out",
        "_seq",
        "_server",
        "_transport",
        "closed",
        "key",
        "opened_at",
        "session_id",
        "subscribed",
        "superseded_at",
    )

    def __init__(self, server: SandboxServer) -> None:
        self._server = server
        self._framer = Framer()
        self._handshake: Handshake | None = None
        self._transport: asyncio.Transport | None = None
        self._out: list[tuple[int, int, bytes]] = []
        self._flush_due = False
        self._last_id = 0
        self._seq = 0
        self._failed: set[int] = set()
        self.key: crypto.AuthKey | None = None
        self.session_id = 0
        self.opened_at = 0.0
        self.subscribed = False
        self.superseded_at: float | None = None
        self.closed = False

    # --- asyncio.Protocol -------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, unless new ones are refused."""
        # uvloop's transports do not derive from asyncio.Transport.
        self._transport = cast(asyncio.Transport, transport)
        self.opened_at = time.monotonic()
        if self._server.faults.refusing:
            self.abort()
            return
        self._server.connections.add(self)

    def connection_lost(self, _exc: Exception | None) -> None:
        """Drop the connection."""
        self.closed = True
        self._server.connections.discard(self)
        self._server.forget(self)

    def data_received(self, data: bytes) -> None:
        """Answer what came in."""
        try:
            for packet in self._framer.feed(data):
                if self.closed:
                    return
                self._on_packet(packet)
        except (FramingError, HandshakeError, TypeNotFoundError, struct.error):
            # What cannot be read is answered as Telegram does: hang up.
            _log.exception("a packet could not be read")
            self.abort()

    # --- in ---------------------------------------------------------------

    def _on_packet(self, packet: bytes) -> None:
        key_id = int.from_bytes(packet[:8], "little")
        if key_id == 0:
            self._on_plain(packet)
            return
        key = self._server.keys.get(key_id)
        if key is None:
            self._write(_KEY_UNKNOWN)
            self.close()
            return
        plain = crypto.decrypt(key, packet)
        if plain is None:
            self.abort()
            return
        salt, session_id, msg_id, seq, size = crypto.HEADER.unpack_from(plain)
        if self.key is not key:
            self.key = key
            self._server.bind(self)
        elif self.superseded_at is not None:
            self._server.spoke_twice(self)
        body = plain[crypto.HEADER.size : crypto.HEADER.size + size]
        if salt != key.salt:
            self.session_id = self.session_id or session_id
            self._queue(bytes(types.BadServerSalt(msg_id, seq, 48, key.salt)), related=False)
            return
        if session_id != self.session_id or not self._last_id:
            self.session_id = session_id
            self._failed.clear()
        if not self._seq:
            self._queue(bytes(types.NewSessionCreated(msg_id, session_id, key.salt)))
        self._on_message(msg_id, body)

    def _on_plain(self, packet: bytes) -> None:
        self._handshake = self._handshake or Handshake(self._server.rsa)
        with BinaryReader(packet[20:]) as reader:
            request = reader.tgread_object()
        answer = self._handshake.answer(request)
        if self._handshake.key:
            self._server.keys[self._handshake.key.key_id] = self._handshake.key
        head = struct.pack("<qqi", 0, self._next_id(1), len(answer))
        self._write(head + answer)

    def _on_message(self, msg_id: int, body: bytes) -> None:
        kind = int.from_bytes(body[:4], "little")
        if kind == _CONTAINER:
            count = int.from_bytes(body[4:8], "little")
            at = 8
            for _ in range(count):
                inner_id, _seq, size = struct.unpack_from("<qii", body, at)
                self._on_message(inner_id, body[at + 16 : at + 16 + size])
                at += 16 + size
        elif kind == _ACKS:
            pass
        elif kind == _PING:
            ping_id = int.from_bytes(body[4:12], "little", signed=True)
            self._queue(bytes(types.Pong(msg_id, ping_id)), related=False)
        else:
            with BinaryReader(body) as reader:
                request = reader.tgread_object()
                if isinstance(request, GzipPacked):
                    with BinaryReader(request.data) as inner:
                        request = inner.tgread_object()
            self._on_request(msg_id, request)

    def _on_request(self, msg_id: int, request: Any) -> None:
        if isinstance(request, types.MsgsStateInfo | types.HttpWait):
            return
        key = self.key
        assert key is not None
        quiet = False
        try:
            while True:
                if isinstance(request, functions.InvokeAfterMsgRequest):
                    if request.msg_id in self._failed:
                        raise RpcError(400, "MSG_WAIT_FAILED")
                elif isinstance(request, functions.InvokeWithoutUpdatesRequest):
                    quiet = True
                elif not isinstance(
                    request, functions.InvokeWithLayerRequest | functions.InitConnectionRequest
                ):
                    break
                request = request.query
            if key.revoked:
                raise RpcError(406, "AUTH_KEY_DUPLICATED")
            service = self._service(msg_id, request)
            if service is not None:
                self._queue(service, related=False)
                return
            result = self._server.call(self, request)
        except RpcError as error:
            if len(self._failed) > 10_000:
                self._failed.clear()
            self._failed.add(msg_id)
            result = types.RpcError(error.code, error.message)
        else:
            if not quiet and not self.subscribed:
                self._server.subscribe(self)
        data = bytes(result)
        if len(data) > _GZIP_OVER:
            packed = gzip.compress(data, 1)
            if len(packed) < len(data):
                data = struct.pack("<I", _GZIPPED) + _tl_string(packed)
        self._queue(struct.pack("<Iq", _RPC_RESULT, msg_id) + data)
        if key.revoked:
            self.flush()
            self.close()

    def _service(self, msg_id: int, request: Any) -> bytes | None:
        """Answer what MTProto itself asks, outside of rpc_result."""
        if isinstance(request, functions.PingDelayDisconnectRequest):
            return bytes(types.Pong(msg_id, request.ping_id))
        if isinstance(request, functions.GetFutureSaltsRequest):
            assert self.key is not None
            now = int(time.time())
            salts = [types.FutureSalt(now, now + 86_400, self.key.salt)]
            return bytes(types.FutureSalts(msg_id, now, salts))
        if isinstance(request, functions.DestroySessionRequest):
            return bytes(types.DestroySessionNone(request.session_id))
        return None

    # --- out --------------------------------------------------------------

    def push(self, body: bytes) -> None:
        """Send a server's message that answers nothing (an update)."""
        self._queue(body, push=True)

    def probe(self) -> None:
        """Ask the client for a sign of life; a running one answers at once."""
        self._queue(bytes(types.MsgsStateReq([self._last_id])), related=False, push=True)

    def _queue(self, body: bytes, *, related: bool = True, push: bool = False) -> None:
        self._out.append((self._next_id(3 if push else 1), self._next_seq(related), body))
        if not self._flush_due:
            self._flush_due = True
            loop = self._server.loop
            if delay := self._server.faults.delay_seconds:
                loop.call_later(delay, self.flush)
            else:
                loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write all that is queued, packed into containers."""
        self._flush_due = False
        waiting, self._out = self._out, []
        if self.closed or self.key is None:
            return
        while waiting:
            size = taken = 0
            while taken < len(waiting) and taken < _MAX_BATCH and size < _MAX_BATCH_BYTES:
                size += len(waiting[taken][2]) + 16
                taken += 1
            batch, waiting = waiting[:taken], waiting[taken:]
            if taken == 1:
                msg_id, seq, body = batch[0]
            else:
                parts = [struct.pack("<Ii", _CONTAINER, taken)]
                for inner_id, inner_seq, inner in batch:
                    parts += (struct.pack("<qii", inner_id, inner_seq, len(inner)), inner)
                body = b"".join(parts)
                msg_id, seq = self._next_id(1), self._next_seq(False)
            head = crypto.HEADER.pack(self.key.salt, self.session_id, msg_id, seq, len(body))
            self._write(crypto.encrypt(self.key, head + body))

    def close(self) -> None:
        """Hang up after what is written has gone out."""
        if self._transport:
            self._transport.close()

    def abort(self) -> None:
        """Hang up at once."""
        self.closed = True
        if self._transport:
            self._transport.abort()

    def _write(self, packet: bytes) -> None:
        if self._transport and not self._transport.is_closing():
            self._transport.write(self._framer.wrap(packet))

    def _next_id(self, remainder: int) -> int:
        new = (int(time.time() * 2**32) & ~3) | remainder
        if new <= self._last_id:
            new = ((self._last_id >> 2) + 1 << 2) | remainder
        self._last_id = new
        return new

    def _next_seq(self, related: bool) -> int:
        seq = self._seq * 2 + related
        self._seq += related
        return seq


def _tl_string(data: bytes) -> bytes:
    head = b"\xfe" + len(data).to_bytes(3, "little")
    return head + data + bytes(-(len(head) + len(data)) % 4)
