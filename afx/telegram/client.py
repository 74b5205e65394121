"""A Telethon client that writes only while its node's lease lasts.

Telethon is changed by subclassing. The connection is our own (``transport.py``): it asks
whether the lease lasts before each write. Each request has a deadline. Updates come to us
raw and at once: Telethon's message box would hand them out before what they cause is
settled. Telethon never reconnects by itself here: the node decides that, since it knows
its lease.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import defaultdict
from collections.abc import Callable, Container
from functools import partial
from itertools import islice
from typing import Any

from telethon import TelegramClient
from telethon._updates import EntityCache
from telethon.errors import RPCError, UserMigrateError
from telethon.extensions import markdown
from telethon.sessions import StringSession
from telethon.tl import functions, types
from telethon.tl.alltlobjects import LAYER

from afx.devices import Device
from afx.errors import AfxError
from afx.telegram import lean_reading, moves
from afx.telegram.building import hand_over
from afx.telegram.errors import error_name
from afx.telegram.lazy import LOGGERS, Lazy
from afx.telegram.mtproto import Sender
from afx.telegram.proxied import answered_through
from afx.telegram.session import StoredSession

REQUEST_SECONDS = 30.0
"""How long Telegram may take to answer one request."""

_BEAT_SECONDS = 30.0
"""A message is acknowledged after so long at most, as TDLib does, and every other time a
ping goes with it."""
_MOVE_PAUSE_SECONDS = 600.0
"""Between two moves of an account to another data centre, at most; the first ones may be near."""
_BEATS_AT_ONCE, _BEAT_PAUSE_SECONDS = 50, 0.01


class NoAnswerError(ConnectionError):
    """Telegram did not answer a request in time; the connection is of no use."""


class Pings:
    """Lets clients beat, and so ping, by one timer: a timer of its own takes half a KiB."""

    __slots__ = ("_due", "_timer")

    def __init__(self) -> None:
        self._due: dict[AccountClient, float] = {}
        """When each is due, in the loop's time; the first is due first."""
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, client: AccountClient) -> None:
        """Let a client beat in half a minute, and so on."""
        self._due.pop(client, None)
        self._due[client] = asyncio.get_running_loop().time() + _BEAT_SECONDS
        self._wait(_BEAT_SECONDS)

    def end(self, client: AccountClient) -> None:
        """Let a client beat no more."""
        self._due.pop(client, None)

    def _wait(self, seconds: float) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._beat)

    def _beat(self) -> None:
        """Let those beat that are due; of many a few at once, then what else the loop does."""
        self._timer = None
        now = asyncio.get_running_loop().time()
        for client, due in list(islice(self._due.items(), _BEATS_AT_ONCE)):
            if due > now:
                self._wait(due - now)
                return
            self.end(client)
            if client.is_connected():
                self._due[client] = now + _BEAT_SECONDS
                client.beat()
        if self._due:
            self._wait(_BEAT_PAUSE_SECONDS)


class AccountClient(TelegramClient):  # type: ignore[misc]
    """One account's client; its updates go to ``on_updates``.

    Telethon's own constructor would make some twenty objects that hardly any client uses,
    and a queue of updates: here they are made when they are used.
    """

    _log = LOGGERS
    _loop = None
    _use_ipv6 = False
    _proxy = _local_addr = None
    _timeout = 10
    _auto_reconnect = False
    _request_retries = 2
    _connection_retries = 1
    _retry_delay = 0
    _raise_last_call_error = True
    _flood_sleep_threshold = 0
    _no_updates = _sequential_updates = False
    _catch_up = True
    _last_request = 0.0
    _authorized: bool | None = None
    _pings_next = False
    _move: moves.Move | None = None
    """Where the next connection goes."""
    _before: tuple[Any, Any] | None = None
    """Where the stored login is, and its key, while the client is signed in elsewhere."""
    _goes_back = False
    edit_seconds = 0
    """For how long the server lets the account edit what it has sent; 0: it has not said it yet."""
    _moves, _moves_from = 0, 0.0
    """How many there were; the loop's time before which the account does not move again."""
    _updates_queue = _updates_error = _updates_handle = _keepalive_handle = None
    _message_box = None
    _entity_cache_limit = 5000
    _parse_mode = markdown
    _phone = _tos = _introduced = None
    _event_builders = Lazy(list)
    _event_handler_tasks = Lazy(set)
    _flood_waited_requests = Lazy(dict)
    _borrowed_senders = Lazy(dict)
    _borrow_sender_lock = Lazy(asyncio.Lock)
    _exported_sessions = Lazy(dict)
    _conversations = Lazy(partial(defaultdict, set))
    _albums = Lazy(dict)
    _phone_code_hash = Lazy(dict)
    _megagroup_cache = Lazy(dict)
    _mb_entity_cache = Lazy(EntityCache)

    is_bot: bool | None = None
    """None: nobody has asked Telegram yet."""

    def __init__(
        self,
        session: StoredSession,
        *,
        api_id: int,
        api_hash: str,
        connection: Callable[..., Any],
        on_updates: Callable[[Any], None],
        device: Device,
        pings: Pings,
    ) -> None:
        self.session = session
        self.api_id = api_id
        self.api_hash = api_hash
        self._connection = connection
        self._device = device
        self._sender = Sender(session.auth_key, on_updates)
        self._pings = pings

    def follow(self, channels: Container[int]) -> None:
        """Take new messages and edits of these channels only, by their bare ids."""
        self._sender.followed = channels

    async def __call__(self, request: Any, ordered: bool = False, **options: Any) -> Any:
        """Make a request, and return its answer.

        Raises RPCError, ConnectionError when the connection ends, and NoAnswerError
        when no answer comes in time. When a connection ends, Telethon cancels what
        waits for an answer, which looks as if the caller had been cancelled.
        """
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                return await super().__call__(request, ordered=ordered, **options)
        except TimeoutError:
            raise NoAnswerError(f"no answer to {type(request).__name__}") from None
        except asyncio.CancelledError:
            self._raise_if_cancelled()
            raise ConnectionError("the connection ended") from None

    async def connect(self) -> None:
        """Connect; raises ConnectionError when the connection ends meanwhile.

        Telethon then cancels its first request, as it does with others.
        """
        try:
            await self._open()
        except asyncio.CancelledError:
            self._raise_if_cancelled()
            raise ConnectionError("the connection ended") from None
        self._pings.begin(self)

    async def _open(self) -> None:
        """Connect; an account that has moved is signed in where it has moved to.

        Unless that is done it stays where it was, with the key that it had.
        """
        session, key = self.session, self._sender.auth_key
        if session is None:
            raise AfxError("The account was logged out; sign it in again.")
        if self._goes_back and self._before is not None:
            stored, key.key = self._before
            session.set_dc(*stored)
            self._before, self._goes_back, self._move = None, False, None
        move, self._move = self._move, None
        if move is None:
            await self._greet(functions.help.GetConfigRequest())
            return
        await self._sender.disconnect()
        before, its_key = (session.dc_id, session.server_address, session.port), key.key
        session.set_dc(move.data_centre, move.address, move.port)
        key.key = None
        try:
            await self._greet(move.request)
        except BaseException as error:
            await self._sender.disconnect()
            session.set_dc(*before)
            key.key = its_key
            if not isinstance(error, Exception):
                raise
            # Nothing that is said of the new key is about the login.
            raise ConnectionError(f"it could not be signed in there: {error!r}") from error
        self._before = self._before or (before, its_key)

    async def _greet(self, query: Any) -> None:
        """Connect, and tell the layer and the device (core.telegram.org/api/invoking)."""
        session = self.session
        to = self._connection(session.server_address, session.port, session.dc_id)
        if await self._sender.connect(to):
            session.auth_key = self._sender.auth_key
            request = self._introduction()
            request.query = query
            answer = self._sender.send(functions.InvokeWithLayerRequest(LAYER, request))
            if to.through is None:
                config = await answer
            else:
                config = await answered_through(to.through, answer, REQUEST_SECONDS)
            if isinstance(config, types.Config):
                self.edit_seconds = config.edit_time_limit

    def _introduction(self) -> Any:
        """Return what the client says of itself at the beginning of a connection."""
        return functions.InitConnectionRequest(
            api_id=self.api_id,
            device_model=self._device.model,
            system_version=self._device.system,
            app_version=self._device.app or self.__version__,
            lang_code=self._device.lang,
            system_lang_code=self._device.system_lang,
            lang_pack=self._device.lang_pack,
            query=None,
        )

    @property
    def _init_request(self) -> Any:
        """The same, kept: Telethon uses it for connections to other data centres."""
        if self._introduced is None:
            self._introduced = self._introduction()
        return self._introduced

    @property
    def disconnected(self) -> asyncio.Future[None]:
        """Done once the connection has ended; it is not to be cancelled."""
        future: asyncio.Future[None] = self._sender._disconnected  # noqa: SLF001
        return future

    def beat(self) -> None:
        """Acknowledge what waits for it; every other time ping, too."""
        self._pings_next = not self._pings_next
        if self._pings_next:
            self._sender.acknowledge()
        else:
            self.ping()

    def ping(self) -> None:
        """Ping Telegram; a connection whose last ping has no answer ends."""
        with contextlib.suppress(ConnectionError):
            self._sender._keepalive_ping(random.getrandbits(63))  # noqa: SLF001

    async def run_in_order(self, requests: list[Any], *, ordered: bool = True) -> list[Any]:
        """Send requests at once, each to run after the one before it if that is not refused.

        Not ``ordered``: whatever becomes of the others, and in any order. Returns each
        one's answer, or the RPCError that it met. Their peers must be input peers.
        Telethon's own call is not used: it sleeps and repeats a request that was refused
        as a duplicate. Raises ConnectionError, also when the next answer does not come in
        time, and NotBuiltError: then none was sent. Users and chats of the updates in an
        answer are left out (``lean_reading``).
        """
        for request in requests:
            request.read_result = lean_reading.read_object
        answers: list[Any] = []
        loop = asyncio.get_running_loop()
        futures = hand_over(lambda: self._sender.send(requests, ordered=ordered))
        try:
            async with asyncio.timeout(REQUEST_SECONDS) as deadline:
                for future in futures:
                    try:
                        if not future.done() and answers:
                            deadline.reschedule(loop.time() + REQUEST_SECONDS)
                        answers.append(await future)
                    except RPCError as error:
                        answers.append(error)
        except TimeoutError:
            raise NoAnswerError(f"no answer to {type(requests[0]).__name__}") from None
        except asyncio.CancelledError:
            self._raise_if_cancelled()
            raise ConnectionError("the connection ended") from None
        finally:
            for future in futures[len(answers) :]:
                # No one waits for these any more.
                if not future.cancel() and not future.cancelled():
                    future.exception()
        for answer in answers:
            if isinstance(answer, UserMigrateError):
                with contextlib.suppress(UserMigrateError):
                    await self._switch_dc(answer.new_dc)
                break
        return answers

    async def disconnect(self) -> None:
        """Disconnect, and drop requests that were not sent yet."""
        self._pings.end(self)
        await super().disconnect()

    @property
    def is_moving(self) -> bool:
        """Whether the next connection is to another data centre, where the account is now."""
        return self._move is not None

    @property
    def stored_key(self) -> bytes:
        """The key of the stored login, also while the client is signed in elsewhere."""
        key: bytes = self._before[1] if self._before is not None else self._sender.auth_key.key
        return key

    @property
    def elsewhere(self) -> str:
        """The login where the account has moved to, as a session string; "": it has not moved."""
        if self._before is None:
            return ""
        found = StringSession()
        found.set_dc(self.session.dc_id, self.session.server_address, self.session.port)
        found.auth_key = self._sender.auth_key
        return str(found.save())

    def resume(self, login: str) -> None:
        """Begin where an earlier client has moved to; raises ValueError for no session string."""
        found, session, key = StringSession(login), self.session, self._sender.auth_key
        if not found.auth_key:
            raise ValueError("it has no key")
        self._before = (session.dc_id, session.server_address, session.port), key.key
        session.set_dc(found.dc_id, found.server_address, found.port)
        key.key = found.auth_key.key

    def go_back(self, error: BaseException) -> bool:
        """Let the next connection use the stored login again: a key that was made since is refused.

        False: it is the stored login that is refused, or the key is in use twice.
        """
        if self._before is None or error_name(error) == "AUTH_KEY_DUPLICATED":
            return False
        self._goes_back = True
        return True

    async def _switch_dc(self, new_dc: int) -> None:
        """End the connection; the next one is made to the data centre that the account is in.

        Telethon would throw the key away, which is the login of the account. Raises
        ConnectionError, and UserMigrateError when the account cannot follow now, or has just
        done so.
        """
        now = asyncio.get_running_loop().time()
        if self._move is None and now >= self._moves_from:
            self._moves_from = now + min(_MOVE_PAUSE_SECONDS, 2.0 ** min(self._moves, 10))
            self._moves += 1
            try:
                self._move = await moves.prepare(self, new_dc)
            except (RPCError, OSError) as error:
                raise UserMigrateError(None, new_dc) from error
        if self._move is None:
            raise UserMigrateError(None, new_dc)
        moved = ConnectionError(f"the account has moved to data centre {new_dc}")
        self._sender.lost(moved)
        raise moved

    @staticmethod
    def _raise_if_cancelled() -> None:
        """Raise CancelledError when the running task itself was cancelled."""
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise asyncio.CancelledError

    async def _save_states_and_entities(self) -> None:
        """Do nothing: the node stores positions and access hashes itself."""
