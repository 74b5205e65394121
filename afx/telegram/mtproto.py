"""The MTProto layer of a client, without tasks.

Telethon has two tasks per connection: one waits for what is to be sent, one for what
arrives. Here what arrives is handled at once, where it arrives, and what is to be sent goes
out together at the end of the loop's turn. With the queues, tables and caches that Telethon
makes for each client, and that most clients never use, this is the larger part of what an
idle session costs.

The classes are Telethon's with other constructors: which attributes those have to set is
held by ``tests/telegram/test_mtproto.py``, for each version of Telethon.
"""

from __future__ import annotations

import asyncio
import logging
from array import array
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from types import MappingProxyType
from typing import Any

import structlog
from telethon.crypto import AuthKey
from telethon.errors import (
    AuthKeyNotFound,
    InvalidBufferError,
    SecurityError,
    TypeNotFoundError,
)
from telethon.extensions import BinaryReader
from telethon.extensions.messagepacker import MessagePacker
from telethon.network import MTProtoSender
from telethon.network.mtprotostate import MAX_RECENT_MSG_IDS, MTProtoState
from telethon.tl import types
from telethon.tl.core import GzipPacked, MessageContainer, RpcResult
from telethon.tl.tlobject import TLRequest

_CONNECT_SECONDS = 10
_TRIES = 2
_KEY_UNKNOWN = 404
_MOST_UNACKNOWLEDGED = 64
"""Messages that wait to be acknowledged with the next request; more are at once."""
_MOST_ACKS_KEPT = 2
"""Acknowledgements that can be repeated after a wrong salt."""

log = structlog.get_logger()

quiet = logging.getLogger("afx.telethon")
quiet.setLevel(logging.CRITICAL)


class Loggers(dict[str, logging.Logger]):
    """Telethon's loggers; it would make a class of its own for each client."""

    def __missing__(self, key: str) -> logging.Logger:
        return quiet


LOGGERS = Loggers()


class Lazy:
    """An attribute that an object has from its first use on."""

    __slots__ = ("_make", "_name")

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        value = self._make()
        setattr(instance, self._name, value)
        return value


class RecentIds:
    """The ids of the last messages that have arrived: none is taken twice.

    Source: core.telegram.org/mtproto/security_guidelines, "Checking msg_id". Eight bytes for
    each, where a deque of numbers takes 40.
    """

    __slots__ = ("_ids",)

    def __init__(self) -> None:
        self._ids = _NO_IDS

    def __contains__(self, message_id: object) -> bool:
        return message_id in self._ids

    def append(self, message_id: int) -> None:
        """Note an id; the oldest of too many is forgotten."""
        if not self._ids:
            self._ids = array("q")
        self._ids.append(message_id)
        if len(self._ids) > MAX_RECENT_MSG_IDS:
            del self._ids[0]

    def clear(self) -> None:
        """Forget all."""
        self._ids = _NO_IDS


_NO_IDS = array("q")


class _State(MTProtoState):  # type: ignore[misc]
    """Encrypts and decrypts; its memory of recent ids is small."""

    _log = quiet
    time_offset = 0
    salt = 0

    def __init__(self, auth_key: Any) -> None:
        self.auth_key = auth_key
        self._recent_remote_ids = RecentIds()
        self.reset()


class _Packer(MessagePacker):  # type: ignore[misc]
    """Packs what is to be sent now."""

    _log = quiet

    def __init__(self, state: MTProtoState, outgoing: Iterable[Any]) -> None:
        self._state = state
        self._deque = deque(outgoing)

    def packed(self) -> Iterable[tuple[list[Any], bytes]]:
        """Yield batches of requests, each with the data of its message."""
        while self._deque:
            batch, data = _done(self.get())
            if data:
                yield batch, data


class _NoAnswer:
    """The future of what has no answer."""

    __slots__ = ()

    def cancelled(self) -> bool:
        return True

    def set_exception(self, error: BaseException) -> None:
        pass


class _Ack:
    """An acknowledgement on its way; Telethon's record of it has a future."""

    __slots__ = ("container_id", "data", "msg_id")

    after = request = None
    future = _NoAnswer()

    def __init__(self, message_ids: Iterable[int]) -> None:
        self.data = bytes(types.MsgsAck(list(message_ids)))
        self.container_id = self.msg_id = None


class Sender(MTProtoSender):  # type: ignore[misc]
    """Sends requests over one connection, and handles what arrives. It never reconnects.

    Updates go to ``on_updates``. ``_disconnected`` is done once the connection has ended.
    """

    _loggers = LOGGERS
    _log = quiet
    _retries = 1
    _delay = 0
    _connect_timeout = _CONNECT_SECONDS
    _auto_reconnect = False
    _auto_reconnect_callback = None
    _auth_key_callback = None
    _connect_lock = None
    _connection: Any = None
    _ping: int | None = None
    _user_connected = False
    _reconnecting = False
    _reconnect_task: asyncio.Task[None] | None = None
    _send_loop_handle = _recv_loop_handle = None
    _MTProtoSender__disconnected: asyncio.Future[None] | None = None
    _last_acks: tuple[_Ack, ...] = ()
    _flushing: asyncio.Handle | None = None
    _outgoing: list[Any] | None = None
    _unacknowledged: list[int] | None = None

    def __init__(self, auth_key: Any, on_updates: Callable[[Any], None]) -> None:
        self.auth_key = auth_key or AuthKey(None)
        self.put_nowait = on_updates
        self._state = _State(self.auth_key)
        self._pending_state: dict[int, Any] = {}

    # --- what Telethon's methods take for objects of their own ----------------------------

    @property
    def _updates_queue(self) -> Sender:
        """Where updates are put, by ``put_nowait``."""
        return self

    @property
    def _send_queue(self) -> Sender:
        """Where requests are put, by ``append`` and ``extend``."""
        return self

    @property
    def _pending_ack(self) -> Sender:
        """Where ids that are to be acknowledged are put, by ``add``."""
        return self

    @property
    def _handlers(self) -> MappingProxyType[int, Any]:
        return _HANDLERS

    # --- the connection -----------------------------------------------------------------

    async def connect(self, connection: Any) -> bool:
        """Connect, and agree upon a key if there is none; False when it is connected.

        Raises ConnectionError, OSError or TimeoutError.
        """
        if self._user_connected:
            return False
        self._connection = connection
        # Telethon would take the pong of an earlier connection for one that is missing.
        self._ping = None
        await self._connect()
        self._user_connected = True
        connection.deliver_to(self)
        return True

    async def _connect(self) -> None:
        for tries_left in range(_TRIES - 1, -1, -1):
            try:
                await self._connection.connect(timeout=self._connect_timeout)
                break
            except (OSError, TimeoutError) as error:
                if not tries_left:
                    raise ConnectionError(f"Telegram cannot be reached: {error!r}") from error
        if not self.auth_key and not await self._try_gen_auth_key(0):
            raise ConnectionError("no key could be agreed upon")
        self._MTProtoSender__disconnected = asyncio.get_running_loop().create_future()

    async def disconnect(self) -> None:
        """End the connection; none exists when it returns, unless it is cancelled."""
        if self._reconnect_task is not None:
            # Not cancelled, as Telethon would: it would leave a connection half closed.
            await asyncio.wait({self._reconnect_task})
        await self._disconnect()

    def lost(self, error: Exception | None) -> None:
        """End: the connection is closed, or of no use."""
        if self._user_connected and not self._reconnecting:
            self._reconnecting = True  # nothing is sent or handled any more
            self._reconnect_task = asyncio.get_running_loop().create_task(self._end(error))

    _start_reconnect = lost

    async def _end(self, error: Exception | None) -> None:
        # The next connection is a session of its own, with a sequence of its own.
        self._state.reset()
        try:
            await self._disconnect(error=error)
        finally:
            self._reconnecting = False
            self._reconnect_task = None

    async def _disconnect(self, error: Exception | None = None) -> None:
        """End the connection, and with it what waits for an answer."""
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        await super()._disconnect(error=error)
        if self._disconnected.done() and not self._disconnected.cancelled():
            self._disconnected.exception()  # asyncio reports it if no one asks

    def drop_unsent(self) -> None:
        """Drop what was not sent yet."""
        self._outgoing = None

    # --- out --------------------------------------------------------------------------------

    def append(self, state: Any) -> None:
        """Send a request at the end of the loop's turn."""
        self.extend((state,))

    def extend(self, states: Iterable[Any]) -> None:
        """Send requests, in their order, at the end of the loop's turn."""
        if self._outgoing is None:
            self._outgoing = []
        self._outgoing += states
        self._flush_later()

    def add(self, message_id: int) -> None:
        """Acknowledge a message with the next request, or before that if many wait."""
        if self._unacknowledged is None:
            self._unacknowledged = []
        self._unacknowledged.append(message_id)
        if len(self._unacknowledged) >= _MOST_UNACKNOWLEDGED:
            self._flush_later()

    def _flush_later(self) -> None:
        if self._user_connected and self._flushing is None:
            self._flushing = asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> None:
        """Write what is to be sent; a connection without room calls it again."""
        self._flushing = None
        if not self._user_connected or self._reconnecting or self._connection.is_full:
            return
        try:
            self._write()
        except Exception as error:
            self.lost(error)

    def _write(self) -> None:
        outgoing, self._outgoing = self._outgoing or [], None
        if self._unacknowledged:
            ack, self._unacknowledged = _Ack(self._unacknowledged), None
            self._last_acks = (*self._last_acks[1 - _MOST_ACKS_KEPT :], ack)
            outgoing.append(ack)
        for batch, data in _Packer(self._state, outgoing).packed():
            # Before it is written: what ends the connection ends these, too.
            for state in batch:
                if isinstance(state.request, TLRequest):
                    self._pending_state[state.msg_id] = state
            self._connection.write(self._state.encrypt_message_data(data))

    # --- in -------------------------------------------------------------------------------

    def receive(self, packet: bytes) -> None:
        """Handle one packet."""
        if not self._user_connected or self._reconnecting:
            return
        try:
            message = self._state.decrypt_message_data(packet)
        except (TypeNotFoundError, SecurityError):
            return  # a constructor of another layer, or nothing that the server has sent
        except InvalidBufferError as error:
            self.lost(AuthKeyNotFound() if error.code == _KEY_UNKNOWN else error)
            return
        except Exception as error:
            self.lost(error)
            return
        if message is not None:
            self._take(message)

    def _take(self, message: Any) -> None:
        """Handle a message; one that fails does not keep others of its packet from it."""
        self.add(message.msg_id)
        try:
            if isinstance(message.obj, GzipPacked):
                with BinaryReader(message.obj.data) as reader:
                    message.obj = reader.tgread_object()
            if not isinstance(message.obj, MessageContainer):
                handle = _HANDLERS.get(message.obj.CONSTRUCTOR_ID, MTProtoSender._handle_update)  # noqa: SLF001
                _done(handle(self, message))
                return
        except Exception as error:
            kind = type(message.obj).__name__
            log.error("message_failed", kind=kind, error=type(error).__name__)
            return
        for inner in message.obj.messages:
            self._take(inner)

    async def _handle_new_session_created(self, message: Any) -> None:
        """Note the salt, and hand it on: what was pushed before it may be lost."""
        await super()._handle_new_session_created(message)
        self.put_nowait(message.obj)


_HANDLERS: MappingProxyType[int, Any] = MappingProxyType(
    {
        kind.CONSTRUCTOR_ID: handle
        for kind, handle in (
            (RpcResult, Sender._handle_rpc_result),  # noqa: SLF001
            (types.Pong, Sender._handle_pong),  # noqa: SLF001
            (types.BadServerSalt, Sender._handle_bad_server_salt),  # noqa: SLF001
            (types.BadMsgNotification, Sender._handle_bad_notification),  # noqa: SLF001
            (types.MsgDetailedInfo, Sender._handle_detailed_info),  # noqa: SLF001
            (types.MsgNewDetailedInfo, Sender._handle_new_detailed_info),  # noqa: SLF001
            (types.NewSessionCreated, Sender._handle_new_session_created),  # noqa: SLF001
            (types.MsgsAck, Sender._handle_ack),  # noqa: SLF001
            (types.FutureSalts, Sender._handle_future_salts),  # noqa: SLF001
            (types.MsgsStateReq, Sender._handle_state_forgotten),  # noqa: SLF001
            (types.MsgResendReq, Sender._handle_state_forgotten),  # noqa: SLF001
            (types.MsgsAllInfo, Sender._handle_msg_all),  # noqa: SLF001
            (types.DestroySessionOk, Sender._handle_destroy_session),  # noqa: SLF001
            (types.DestroySessionNone, Sender._handle_destroy_session),  # noqa: SLF001
        )
    }
)
"""What handles a message, by its constructor; keys are never destroyed here."""


def _done(work: Coroutine[Any, Any, Any]) -> Any:
    """Return the result of a coroutine that awaits nothing."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    work.close()
    raise RuntimeError("it awaits something")
