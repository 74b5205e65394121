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
from collections.abc import Callable, Container, Coroutine, Iterable
from types import MappingProxyType
from typing import Any

import structlog
from telethon.crypto import AuthKey
from telethon.errors import (
    AuthKeyNotFound,
    BadMessageError,
    InvalidBufferError,
    SecurityError,
)
from telethon.network import MTProtoSender
from telethon.tl import types
from telethon.tl.core import RpcResult, TLMessage
from telethon.tl.tlobject import TLRequest

from afx.telegram import lean_reading
from afx.telegram.lazy import LOGGERS, quiet
from afx.telegram.mtproto_state import State, UpdatesMissed, inner_messages, unzipped
from afx.telegram.outgoing import Packer, Service, fail, require_size, wanted

_CONNECT_SECONDS = 10
_TRIES = 2
_KEY_UNKNOWN = 404
_MOST_UNACKNOWLEDGED = 64
"""Messages that wait to be acknowledged with the next request; more are at once."""
_MOST_ACKS_KEPT = 2
"""Acknowledgements that can be repeated after a wrong salt."""
_CORRECTABLE = frozenset({16, 17, 32, 33})
"""Errors after which a message is sent again, with another id or sequence number
(core.telegram.org/mtproto/service_messages_about_messages)."""
_ABANDONED_SECONDS = 30
"""A request that nobody has waited for when so much time has passed is forgotten."""

log = structlog.get_logger()


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
    _reconnect_task = None
    _change: asyncio.Task[None] | None = None
    """Connects, or ends the connection (then ``_reconnecting`` is set)."""
    _ended_by: Exception | None = None
    _send_loop_handle = _recv_loop_handle = None
    _MTProtoSender__disconnected: asyncio.Future[None] | None = None
    _last_acks: tuple[Service, ...] = ()
    _flushing: asyncio.Handle | None = None
    _outgoing: list[Any] | None = None
    _unacknowledged: list[int] | None = None
    followed: Container[int] | None = None
    """The bare ids of the only channels of which new messages and edits are handed on."""

    def __init__(self, auth_key: Any, on_updates: Callable[[Any], None]) -> None:
        self.auth_key = auth_key or AuthKey(None)
        self.put_nowait = on_updates
        self._state = State(self.auth_key)
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

    def is_connected(self) -> bool:
        """Return whether requests can be sent."""
        return self._user_connected and not self._reconnecting

    async def connect(self, connection: Any) -> bool:
        """Connect, and agree upon a key if there is none; False when it is connected.

        It waits for a connection that is being made, or that ends. Raises ConnectionError
        (also when ``disconnect`` is called meanwhile), OSError or TimeoutError, and what has
        ended the connection again at once.
        """
        while self._change is not None:
            await asyncio.wait({self._change})
        if self._user_connected:
            return False
        try:
            await self._begin(self._make(connection))
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                self.lost(None)
                raise
            raise ConnectionError("it was to be disconnected") from None
        if not self.is_connected():
            raise self._ended_by or ConnectionError("the connection has ended at once")
        return True

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        self._change = asyncio.get_running_loop().create_task(work)
        self._change.add_done_callback(self._changed)
        return self._change

    def _changed(self, change: asyncio.Task[None]) -> None:
        if self._change is change:
            self._change = None
            self._reconnecting = False

    async def _make(self, connection: Any) -> None:
        if self._connection is not None:  # its end has failed
            await self._connection.disconnect()
        self._connection = connection
        # Telethon would take the pong of an earlier connection for one that is missing.
        self._ping = self._ended_by = None
        try:
            await self._connect()
        except BaseException:
            await connection.disconnect()
            self._connection = None
            raise
        self._user_connected = True
        connection.deliver_to(self)

    async def _connect(self) -> None:
        for tries_left in range(_TRIES - 1, -1, -1):
            try:
                await self._connection.connect(timeout=self._connect_timeout)
                break
            except (OSError, TimeoutError) as error:
                if not tries_left:
                    raise ConnectionError(f"Telegram cannot be reached: {error!r}") from error
        made = bool(self.auth_key) or await self._try_gen_auth_key(0)
        if not (made or await self._try_gen_auth_key(1)):  # seldom one fails by chance
            raise ConnectionError("no key could be agreed upon")
        self._MTProtoSender__disconnected = asyncio.get_running_loop().create_future()

    async def disconnect(self) -> None:
        """End the connection, also one that is being made; none exists when it returns.

        When it is cancelled the connection ends all the same, soon after.
        """
        while self._change is not None:
            if not self._reconnecting:
                self._change.cancel()
            await asyncio.wait({self._change})
        if self._connection is not None:
            await asyncio.shield(self._end(None))

    def lost(self, error: Exception | None) -> None:
        """End: the connection is closed, or of no use."""
        if self.is_connected():
            self._ended_by = error and error.with_traceback(None)
            self._end(self._ended_by)

    _start_reconnect = lost

    def _end(self, error: Exception | None) -> asyncio.Task[None]:
        self._reconnecting = True  # nothing is sent or handled any more
        return self._begin(self._disconnect(error))

    async def _disconnect(self, error: Exception | None = None) -> None:
        """End the connection, and with it what waits for an answer or to be sent."""
        self._user_connected = False
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        try:
            await self._connection.disconnect()
            self._connection = None
        finally:
            states = [*self._pending_state.values(), *(self._outgoing or ())]
            # The next connection is a session of its own, with a sequence of its own.
            self._pending_state = {}
            self._outgoing = self._unacknowledged = None
            self._last_acks = ()
            self._state.reset()
            for state in states:
                fail(state.future, error)
            if error is not None:
                fail(self._disconnected, error)
            elif not self._disconnected.done():
                self._disconnected.set_result(None)

    # --- out --------------------------------------------------------------------------------

    def send(self, request: Any, ordered: bool = False) -> Any:
        """Send a request, or several; returns the future of each answer.

        Raises ConnectionError while there is no connection, and ValueError for a request
        that is too large: then none is sent.
        """
        if self._reconnecting:
            raise ConnectionError("the connection has ended")
        return super().send(request, ordered)

    def append(self, state: Any) -> None:
        """Send a request at the end of the loop's turn."""
        self.extend((state,))

    def extend(self, states: Iterable[Any]) -> None:
        """Send requests, in their order, at the end of the loop's turn."""
        states = tuple(states)
        if not states:
            return
        require_size(states)
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

    def acknowledge(self) -> None:
        """Acknowledge what waits for it, without a request."""
        if self._unacknowledged:
            self._flush_later()

    def _flush_later(self) -> None:
        if self._user_connected and self._flushing is None:
            self._flushing = asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> None:
        """Write what is to be sent; a connection without room calls it again."""
        self._flushing = None
        if not self.is_connected() or self._connection.is_full:
            return
        try:
            self._write()
        except Exception as error:
            self.lost(error)

    def _write(self) -> None:
        outgoing, self._outgoing = wanted(self._outgoing or []), None
        if self._unacknowledged:
            ack, self._unacknowledged = Service(types.MsgsAck(self._unacknowledged)), None
            self._last_acks = (*self._last_acks[1 - _MOST_ACKS_KEPT :], ack)
            outgoing.append(ack)
        for state in outgoing:
            state.container_id = None
        packer = Packer(self._state, outgoing)
        try:
            while packer.rest and not self._connection.is_full:
                batch, data = _done(packer.get())
                # Before it is written: what ends the connection ends these, too.
                for state in batch:
                    if isinstance(state.request, TLRequest):
                        self._pending_state[state.msg_id] = state
                self._connection.write(self._state.encrypt_message_data(data))
        except BaseException:
            self._outgoing = outgoing  # they end with the connection
            raise
        if packer.rest:
            self._outgoing = packer.rest

    def _keepalive_ping(self, rnd_id: int) -> None:
        """Ping, and forget requests that nobody has waited for since a while."""
        last = self._state._last_msg_id  # noqa: SLF001
        for msg_id, state in list(self._pending_state.items()):
            if state.future.done() and (last - msg_id) >> 32 >= _ABANDONED_SECONDS:
                del self._pending_state[msg_id]
        super()._keepalive_ping(rnd_id)

    # --- in -------------------------------------------------------------------------------

    def receive(self, packet: bytes) -> None:
        """Handle one packet."""
        if not self.is_connected():
            return
        try:
            message_id, body = self._state.opened(packet)
            if not self._state.is_timely(message_id, body):
                raise SecurityError("it is of another time")
        except SecurityError as error:
            # Nothing that the server has sent now. A clock that is wrong ignores all.
            if self._state.ignored():
                self.lost(ConnectionError(f"nothing could be taken any more: {error}"))
        except InvalidBufferError as error:
            self.lost(AuthKeyNotFound() if error.code == _KEY_UNKNOWN else error)
        except Exception as error:
            self.lost(error)
        else:
            self._take(message_id, body, self._state._highest_remote_id)  # noqa: SLF001

    def _take(self, message_id: int, body: bytes, highest: int) -> None:
        """Handle a message; one that fails does not keep others of its packet from it."""
        self.add(message_id)
        if not self._state.is_new(message_id, highest):
            return  # sent again, since its acknowledgement was lost
        try:
            body = unzipped(body)
            inner = inner_messages(body)
            read = lean_reading.read(body, self.followed) if inner is None else None
        except Exception as error:
            # For example a constructor of another layer: it may have been an update.
            log.warning("message_unreadable", error=type(error).__name__)
            self._miss_updates()
            return
        if inner is None:
            self._handle(message_id, read)
        for inner_id, inner_body in inner or ():
            self._take(inner_id, inner_body, highest)

    def _handle(self, message_id: int, read: Any) -> None:
        try:
            if type(read) is types.Updates:  # most of what arrives: as Telethon does it
                self.put_nowait(read)
                return
            handle = _HANDLERS.get(read.CONSTRUCTOR_ID, MTProtoSender._handle_update)  # noqa: SLF001
            _done(handle(self, TLMessage(message_id, 0, read)))
        except Exception as error:
            kind = type(read).__name__
            log.error("message_failed", kind=kind, error=type(error).__name__)

    def _miss_updates(self) -> None:
        """Hand on that updates are missing; they will be fetched."""
        try:
            self.put_nowait(UpdatesMissed())
        except Exception as error:
            log.error("updates_failed", error=type(error).__name__)

    def _store_own_updates(self, result: Any) -> None:
        """Hand on the updates of an answer; its caller has it in any case."""
        try:
            super()._store_own_updates(result)
        except Exception as error:
            log.error("updates_failed", error=type(error).__name__)
            self._miss_updates()

    def _pop_states(self, msg_id: int) -> list[Any]:
        """Take what is to be sent again: a message, or all of a container."""
        pending = self._pending_state
        found = [it for it in pending.values() if msg_id in (it.msg_id, it.container_id)]
        for it in found:
            del pending[it.msg_id]
        return found + [it for it in self._last_acks if msg_id in (it.msg_id, it.container_id)]

    async def _handle_bad_notification(self, message: Any) -> None:
        """Send again what can be corrected, and end other requests."""
        refusal = message.obj
        if refusal.error_code in _CORRECTABLE:
            await super()._handle_bad_notification(message)
            return
        for state in self._pop_states(refusal.bad_msg_id):
            fail(state.future, BadMessageError(state.request, refusal.error_code))

    async def _handle_pong(self, message: Any) -> None:
        """Note that a ping was answered, though its caller may have given up."""
        if self._ping == message.obj.ping_id:
            self._ping = None
        state = self._pending_state.pop(message.obj.msg_id, None)
        if state is not None and not state.future.done():
            state.future.set_result(message.obj)

    async def _handle_detailed_info(self, message: Any) -> None:
        """Acknowledge an answer that has arrived or that nobody wants; ask for another."""
        asked, answer = getattr(message.obj, "msg_id", None), message.obj.answer_msg_id
        if self._state.has_taken(answer) or (asked and asked not in self._pending_state):
            self.add(answer)
        else:
            self.append(Service(types.MsgResendReq([answer])))

    _handle_new_detailed_info = _handle_detailed_info

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
