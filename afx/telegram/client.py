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
import logging
import random
from collections.abc import Callable
from typing import Any

from telethon import TelegramClient
from telethon.errors import RPCError
from telethon.tl.types import NewSessionCreated

from afx.telegram.session import StoredSession

REQUEST_SECONDS = 30.0
"""How long Telegram may take to answer one request."""

_quiet = logging.getLogger("afx.telethon")
_quiet.setLevel(logging.CRITICAL)

_PING_SECONDS = 60.0


class _Loggers(dict[str, logging.Logger]):
    """Telethon's loggers; it would make a class of its own for each client."""

    def __missing__(self, key: str) -> logging.Logger:
        return _quiet


_loggers = _Loggers()


class NoAnswerError(ConnectionError):
    """Telegram did not answer a request in time; the connection is of no use."""


class _DirectUpdates:
    """Stands in for Telethon's queue of updates: hands each one on at once.

    It saves a queue and a task per session, and a turn of the loop per update.
    """

    __slots__ = ("put_nowait",)

    def __init__(self, on_updates: Callable[[Any], None]) -> None:
        self.put_nowait = on_updates


class AccountClient(TelegramClient):  # type: ignore[misc]
    """One account's client; its updates go to ``on_updates``."""

    def __init__(
        self,
        session: StoredSession,
        *,
        api_id: int,
        api_hash: str,
        connection: type,
        on_updates: Callable[[Any], None],
        device: str,
    ) -> None:
        super().__init__(
            session,
            api_id,
            api_hash,
            connection=connection,
            timeout=10,
            request_retries=2,
            connection_retries=1,
            retry_delay=0,
            auto_reconnect=False,
            flood_sleep_threshold=0,
            raise_last_call_error=True,
            device_model=device,
            catch_up=True,
            base_logger=_quiet,
        )
        self._log = self._sender._loggers = _loggers  # noqa: SLF001
        self._ping_timer: asyncio.TimerHandle | None = None
        # Telethon notes the new salt and nothing else, though pushes may be lost.
        handlers = self._sender._handlers  # noqa: SLF001
        note_salt = handlers[NewSessionCreated.CONSTRUCTOR_ID]

        async def on_new_session(message: Any) -> None:
            await note_salt(message)
            on_updates(message.obj)

        handlers[NewSessionCreated.CONSTRUCTOR_ID] = on_new_session
        updates = _DirectUpdates(on_updates)
        self._updates_queue = self._sender._updates_queue = updates  # noqa: SLF001

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
            await super().connect()
        except asyncio.CancelledError:
            self._raise_if_cancelled()
            raise ConnectionError("the connection ended") from None
        # Their tasks end at once; see below.
        self._updates_handle = self._keepalive_handle = None
        # Telethon would take the pong of an earlier connection for one that is missing.
        self._sender._ping = None  # noqa: SLF001
        self._ping_later()

    def _ping_later(self) -> None:
        """Ping in a minute; a connection whose last ping has no answer ends then.

        A timer, since Telethon's own task costs each session 2 KiB.
        """
        self._stop_pings()
        loop = asyncio.get_running_loop()
        self._ping_timer = loop.call_later(_PING_SECONDS, self._ping_telegram)

    def _ping_telegram(self) -> None:
        self._ping_timer = None
        if self.is_connected():
            with contextlib.suppress(ConnectionError):
                self._sender._keepalive_ping(random.getrandbits(63))  # noqa: SLF001
            self._ping_later()

    def _stop_pings(self) -> None:
        if self._ping_timer is not None:
            self._ping_timer.cancel()
            self._ping_timer = None

    async def run_in_order(self, requests: list[Any], *, ordered: bool = True) -> list[Any]:
        """Send requests at once, each to run after the one before it if that is not refused.

        Not ``ordered``: whatever becomes of the others, and in any order. Returns each
        one's answer, or the RPCError that it met. Their peers must be input peers.
        Telethon's own call is not used: it sleeps and repeats a request that was refused
        as a duplicate. Raises ConnectionError, also when the next answer does not come in
        time.
        """
        answers: list[Any] = []
        loop = asyncio.get_running_loop()
        futures = self._sender.send(requests, ordered=ordered)
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
        return answers

    async def disconnect(self) -> None:
        """Disconnect, and drop requests that were not sent yet.

        Telethon would send them over the next connection, long after their callers
        have given up on them.
        """
        self._stop_pings()
        await super().disconnect()
        self._sender._send_queue._deque.clear()  # noqa: SLF001

    @staticmethod
    def _raise_if_cancelled() -> None:
        """Raise CancelledError when the running task itself was cancelled."""
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise asyncio.CancelledError

    async def _update_loop(self) -> None:
        """Do nothing: updates are handed on directly."""

    async def _keepalive_loop(self) -> None:
        """Do nothing: a timer pings."""
