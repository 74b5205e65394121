"""One TCP connection of a client: packets, MTProto session, answers, pushes."""

from __future__ import annotations

import asyncio
import logging
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, cast

from telethon.tl import types

from afx.sandbox.errors import RpcError
from afx.sandbox.mtproto import crypto, messages, service
from afx.sandbox.mtproto.handshake import Handshake, HandshakeError
from afx.sandbox.mtproto.outgoing import Outgoing
from afx.sandbox.mtproto.transport import Framer, FramingError

_log = logging.getLogger(__name__)
_MAX_FAILED = 10_000
_KEY_UNKNOWN = struct.pack("<i", -404)
_WRONG_SALT = 48
_BAD_CONTAINER = 64


class LinkFaults(Protocol):
    """Faults of the network between clients and the sandbox."""

    delay_seconds: float
    refusing: bool


class Registry(Protocol):
    """Learns which connections are open, and which key each one uses."""

    def opened(self, connection: Connection) -> None:
        """A connection is open; its key is not known yet."""

    def closed(self, connection: Connection) -> None:
        """A connection is closed."""

    def bind(self, connection: Connection) -> None:
        """A connection uses its key from now on."""

    def used_while_superseded(self, connection: Connection) -> None:
        """A connection was used although a newer one has the same key."""

    def subscribe(self, connection: Connection) -> None:
        """A connection wants its account's updates from now on."""


@dataclass(slots=True, frozen=True)
class Wire:
    """What all connections of one server share."""

    loop: asyncio.AbstractEventLoop
    rsa: crypto.ServerKey
    keys: dict[int, crypto.AuthKey]
    """Every authorization key, by its id."""
    registry: Registry
    faults: LinkFaults
    call: Callable[[Connection, Any], bytes]
    """Answers a request of the API; raises RpcError to refuse it."""


class Connection(asyncio.Protocol):
    """A client's connection; it belongs to one auth key once that is known."""

    __slots__ = (
        "_failed",
        "_flush_due",
        "_framer",
        "_handshake",
        "_outgoing",
        "_transport",
        "_wire",
        "closed",
        "key",
        "opened_at",
        "session_id",
        "subscribed",
        "superseded_at",
    )

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._framer = Framer()
        self._handshake: Handshake | None = None
        self._transport: asyncio.Transport | None = None
        self._outgoing = Outgoing()
        self._flush_due = False
        self._failed: set[int] = set()
        self.key: crypto.AuthKey | None = None
        self.session_id = 0
        self.opened_at = 0.0
        self.subscribed = False
        self.superseded_at: float | None = None
        self.closed = False

    # --- asyncio.Protocol -------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Register the connection, unless new ones are refused."""
        # uvloop's transports do not derive from asyncio.Transport.
        self._transport = cast(asyncio.Transport, transport)
        self.opened_at = time.monotonic()
        if self._wire.faults.refusing:
            self.abort()
            return
        self._wire.registry.opened(self)

    def connection_lost(self, _exc: Exception | None) -> None:
        """Remove the connection from the registry."""
        self.closed = True
        self._wire.registry.closed(self)

    def data_received(self, data: bytes) -> None:
        """Answer what came in."""
        try:
            for packet in self._framer.feed(data):
                if self.closed:
                    return
                self._on_packet(packet)
        except (FramingError, HandshakeError) as error:
            # Nothing can be answered to what has no readable envelope.
            _log.warning("a client's packet could not be read, connection closed: %s", error)
            self.abort()

    # --- in ---------------------------------------------------------------

    def _on_packet(self, packet: bytes) -> None:
        key_id = int.from_bytes(packet[:8], "little")
        if key_id == 0:
            self._on_plain(packet)
            return
        key = self._wire.keys.get(key_id)
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
            self._wire.registry.bind(self)
        elif self.superseded_at is not None:
            self._wire.registry.used_while_superseded(self)
        body = plain[crypto.HEADER.size : crypto.HEADER.size + size]
        if salt != key.salt:
            self.session_id = self.session_id or session_id
            refusal = types.BadServerSalt(msg_id, seq, _WRONG_SALT, key.salt)
            self._queue(bytes(refusal), related=False)
            return
        if session_id != self.session_id or not self._outgoing.last_id:
            self.session_id = session_id
            self._failed.clear()
        if not self._outgoing.has_begun:
            self._queue(bytes(types.NewSessionCreated(msg_id, session_id, key.salt)))
        if messages.kind(body) == messages.CONTAINER:
            self._on_container(msg_id, seq, body)
        else:
            self._on_message(msg_id, body)

    def _on_plain(self, packet: bytes) -> None:
        self._handshake = self._handshake or Handshake(self._wire.rsa)
        answer = self._handshake.answer(packet[20:])
        if self._handshake.key:
            self._wire.keys[self._handshake.key.key_id] = self._handshake.key
        head = struct.pack("<qqi", 0, self._outgoing.next_id(), len(answer))
        self._write(head + answer)

    def _on_container(self, msg_id: int, seq: int, body: bytes) -> None:
        try:
            inner = messages.unpack_container(body)
        except messages.ContainerError as error:
            _log.warning("a client's container was refused: %s", error)
            self._queue(bytes(types.BadMsgNotification(msg_id, seq, _BAD_CONTAINER)), related=False)
            return
        for inner_id, _seq, inner_body in inner:
            self._on_message(inner_id, inner_body)

    def _on_message(self, msg_id: int, body: bytes) -> None:
        kind = messages.kind(body)
        if kind == messages.ACKS:
            return
        if kind == messages.PING:
            ping_id = int.from_bytes(body[4:12], "little", signed=True)
            self._queue(bytes(types.Pong(msg_id, ping_id)), related=False)
            return
        try:
            if kind == messages.GZIP_PACKED:
                body = messages.unpack(body)
            request = messages.read_object(body)
        except RpcError as error:
            _log.warning("a client's message could not be read: %s", error.message)
            self._refuse(msg_id, error)
        else:
            self._on_request(msg_id, request)

    def _on_request(self, msg_id: int, request: Any) -> None:
        if isinstance(request, service.NEEDS_NO_ANSWER):
            return
        key = self.key
        assert key is not None
        try:
            request, wants_updates = service.unwrap(request, self._failed)
            if key.revoked:
                raise RpcError(406, "AUTH_KEY_DUPLICATED")
            answer = service.answer(key, msg_id, request)
            if answer is not None:
                self._queue(answer, related=False)
                return
            result = self._wire.call(self, request)
        except RpcError as error:
            self._refuse(msg_id, error)
        else:
            if wants_updates and not self.subscribed:
                self._wire.registry.subscribe(self)
            self._queue(messages.pack_result(msg_id, result))
        if key.revoked:
            self.flush()
            self.close()

    def _refuse(self, msg_id: int, error: RpcError) -> None:
        if len(self._failed) > _MAX_FAILED:
            self._failed.clear()
        self._failed.add(msg_id)
        refusal = bytes(types.RpcError(error.code, error.message))
        self._queue(messages.pack_result(msg_id, refusal))

    # --- out --------------------------------------------------------------

    def push(self, body: bytes) -> None:
        """Send a server's message that answers nothing (an update)."""
        self._queue(body, push=True)

    def probe(self) -> None:
        """Ask the client for a sign of life; a running one answers at once."""
        self._queue(bytes(types.MsgsStateReq([self._outgoing.last_id])), related=False, push=True)

    def _queue(self, body: bytes, *, related: bool = True, push: bool = False) -> None:
        self._outgoing.add(body, related, push)
        if not self._flush_due:
            self._flush_due = True
            loop = self._wire.loop
            if delay := self._wire.faults.delay_seconds:
                loop.call_later(delay, self.flush)
            else:
                loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write all that is queued, packed into containers."""
        self._flush_due = False
        if self.closed or self.key is None:
            self._outgoing.clear()
            return
        for packet in self._outgoing.packets(self.key, self.session_id):
            self._write(packet)

    def close(self) -> None:
        """Close the connection after what is written has gone out."""
        if self._transport:
            self._transport.close()

    def abort(self) -> None:
        """Close the connection at once."""
        self.closed = True
        if self._transport:
            self._transport.abort()

    def _write(self, packet: bytes) -> None:
        if self._transport and not self._transport.is_closing():
            self._transport.write(self._framer.wrap(packet))
