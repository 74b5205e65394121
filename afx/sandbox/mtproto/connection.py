"""One TCP connection of a client: packets, MTProto session, answers, pushes."""

from __future__ import annotations

import asyncio
import logging
import struct
import time
from typing import cast

from telethon.tl import types

from afx.sandbox.errors import TransportError
from afx.sandbox.mtproto import crypto, execution, messages
from afx.sandbox.mtproto.auth_key import AuthKey
from afx.sandbox.mtproto.handshake import Handshake, HandshakeError
from afx.sandbox.mtproto.incoming import BAD_CONTAINER
from afx.sandbox.mtproto.session import Session
from afx.sandbox.mtproto.transport import Framer, FramingError
from afx.sandbox.mtproto.wire import Wire

_log = logging.getLogger(__name__)
KEY_UNKNOWN = -404
_WRONG_SALT = 48


class Connection(asyncio.Protocol):
    """A client's connection; it belongs to one auth key once that is known."""

    __slots__ = (
        "_closing",
        "_flush_due",
        "_framer",
        "_handshake",
        "_transport",
        "closed",
        "is_main",
        "key",
        "opened_at",
        "peer",
        "session",
        "subscribed",
        "superseded_at",
        "wire",
    )

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self._framer = Framer()
        self._handshake: Handshake | None = None
        self._transport: asyncio.Transport | None = None
        self._closing: asyncio.TimerHandle | None = None
        self._flush_due = False
        self.key: AuthKey | None = None
        self.session: Session | None = None
        self.is_main = False
        self.opened_at = 0.0
        self.peer = ""
        """The address that the client comes from."""
        self.subscribed = False
        self.superseded_at: float | None = None
        self.closed = False

    @property
    def data_centre(self) -> int:
        """The number of the data centre that the client has connected to."""
        return self.wire.data_centre

    @property
    def is_live_main(self) -> bool:
        """Whether it is open, and used for more than files."""
        return self.is_main and not self.closed

    # --- asyncio.Protocol -------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Register the connection, unless new ones are refused."""
        # uvloop's transports do not derive from asyncio.Transport.
        self._transport = cast(asyncio.Transport, transport)
        self.opened_at = time.monotonic()
        self.peer = str((transport.get_extra_info("peername") or ("",))[0])
        if self.wire.faults.refusing:
            self.abort()
            return
        self.wire.registry.opened(self)

    def connection_lost(self, _exc: Exception | None) -> None:
        """Remove the connection from the registry."""
        self.closed = True
        if self._closing:
            self._closing.cancel()
        if self.session is not None:
            self.session.leave(self)
        self.wire.registry.closed(self)

    def data_received(self, data: bytes) -> None:
        """Answer what came in."""
        try:
            for packet in self._framer.feed(data):
                if self.closed:
                    return
                self._on_packet(packet)
        except TransportError as error:
            self._write(struct.pack("<i", error.code))
            self.close()
        except HandshakeError as error:
            _log.warning("a client's key exchange was refused: %s", error)
            self._write(struct.pack("<i", KEY_UNKNOWN))
            self.close()
        except FramingError as error:
            # Nothing can be answered to what has no readable envelope.
            _log.warning("a client's packet could not be read, connection closed: %s", error)
            self.abort()

    # --- in ---------------------------------------------------------------

    def _on_packet(self, packet: bytes) -> None:
        if len(packet) < 20:
            raise TransportError(KEY_UNKNOWN)
        key_id = int.from_bytes(packet[:8], "little")
        if key_id == 0:
            self._on_plain(packet)
            return
        key = self.wire.keys.get(key_id)
        if key is None:
            raise TransportError(KEY_UNKNOWN)
        plain = crypto.decrypt(key, packet)
        if plain is None:
            self.abort()
            return
        salt, session_id, msg_id, seq, size = crypto.HEADER.unpack_from(plain)
        if self.key is not key:
            self.key = key
            self.wire.registry.bind(self)
        elif self.superseded_at is not None:
            self.wire.registry.used_while_superseded(self)
        body = plain[crypto.HEADER.size : crypto.HEADER.size + size]
        if len(body) < size or size < 4:
            raise TransportError(KEY_UNKNOWN)
        session = self._session_for(key, session_id)
        if not key.salts.accepts(salt, time.monotonic()):
            refusal = types.BadServerSalt(msg_id, seq, _WRONG_SALT, key.salt)
            session.send(bytes(refusal), related=False)
            return
        self._on_message(session, msg_id, seq, body)

    def _on_plain(self, packet: bytes) -> None:
        if self._handshake is None:
            self._handshake = Handshake(self.wire.rsa)
        answer = self._handshake.answer(packet[20:])
        if self._handshake.key:
            self.wire.keys[self._handshake.key.key_id] = self._handshake.key
        head = struct.pack("<qqi", 0, self._handshake.ids.next_id(), len(answer))
        self._write(head + answer)

    def _session_for(self, key: AuthKey, session_id: int) -> Session:
        """Return the MTProto session of a packet; the client learns of a new one."""
        session = self.session
        if session is not None and session.id == session_id:
            return session
        session = key.sessions.get(session_id)
        if session is not None and self.wire.rules.unacknowledged_are_resent:
            for old in session.outgoing.unacknowledged:
                session.outgoing.add_again(old)
        if session is None:
            session = key.sessions.create(session_id)
        if self.session is not None:
            self.session.leave(self)
        self.session = session
        session.carrier = self
        return session

    def _on_message(self, session: Session, msg_id: int, seq: int, body: bytes) -> None:
        """Check a packet's message, or the messages of its container, and execute them."""
        kind = messages.kind(body)
        incoming = session.incoming
        checked = self.wire.rules.message_ids_checked
        code = incoming.refusal_of_packet(msg_id, kind, time.time()) if checked else 0
        found = [(msg_id, seq, body)]
        if kind == messages.CONTAINER and not code:
            try:
                found = messages.unpack_container(body, msg_id)
            except messages.ContainerError as error:
                _log.warning("a client's container was refused: %s", error)
                code = BAD_CONTAINER
        new: list[tuple[int, bytes]] = []
        again: list[int] = []
        for inner_id, inner_seq, inner in [] if code else found:
            if inner_id in incoming.received:
                again.append(inner_id)
                continue
            code = incoming.refusal(inner_id, inner_seq, messages.kind(inner)) if checked else 0
            if code:
                break
            incoming.note(inner_id, inner_seq)
            new.append((inner_id, inner))
        if code and (checked or code == BAD_CONTAINER):
            # A container is accepted or rejected as a whole.
            incoming.forget(it for it, _ in new)
            session.send(bytes(types.BadMsgNotification(msg_id, seq, code)), related=False)
            return
        if kind == messages.CONTAINER:
            incoming.note_container(msg_id, seq)
        self._greet(session, min((it[0] for it in found), default=msg_id))
        self.wire.faults.shuffle(new)
        for inner_id in again:
            execution.repeat_answer(session, inner_id)
        for inner_id, inner in new:
            execution.take_message(self, session, inner_id, inner)

    def _greet(self, session: Session, msg_id: int) -> None:
        """Tell a client of a new session, or of one that began earlier than it was told."""
        if session.is_announced and msg_id >= session.first_msg_id:
            return
        session.is_announced = True
        session.first_msg_id = msg_id
        assert self.key is not None
        created = types.NewSessionCreated(msg_id, session.unique_id, self.key.salt)
        session.send(bytes(created))

    # --- out --------------------------------------------------------------

    def push(self, body: bytes) -> None:
        """Send a server's message that answers nothing (an update)."""
        if self.session is not None:
            self.session.send(body, push=True)

    def probe(self) -> None:
        """Ask the client for a sign of life; a running one answers at once."""
        if self.session is not None:
            request = types.MsgsStateReq([self.session.outgoing.last_id])
            self.session.send(bytes(request), related=False, push=True)

    def forget_session(self) -> None:
        """Forget the MTProto session with all that was to be sent in it."""
        if self.session is not None and self.key is not None:
            self.key.sessions.forget(self.session.id)
            self.session.leave(self)
            self.session = None

    def flush_soon(self) -> None:
        """Write what is queued when this turn of the loop ends, or after the set delay."""
        if not self._flush_due:
            self._flush_due = True
            loop = self.wire.loop
            if delay := self.wire.faults.delay_seconds:
                loop.call_later(delay, self.flush)
            else:
                loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write all that is queued, packed into containers."""
        self._flush_due = False
        session, key = self.session, self.key
        if session is None or key is None:
            return
        if self.closed:
            session.outgoing.clear()
            return
        for packet in session.outgoing.packets(key, key.salt, session.id):
            self._write(packet)

    def close_after(self, seconds: float) -> None:
        """Close the connection then, unless this is called again (ping_delay_disconnect)."""
        if self._closing:
            self._closing.cancel()
        self._closing = self.wire.loop.call_later(seconds, self.close)

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
