"""A Telethon client that writes only while its node's lease lasts.

Telethon is changed by subclassing. The connection asks the guard before each write,
and drops what is not delivered when it closes. Each request has a deadline. Updates
come to us raw and at once: Telethon's message box would hand them out before what they
cause is settled. Telethon never reconnects by itself here: the node decides that,
since it knows its lease.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
from collections.abc import Callable
from typing import Any

from telethon import TelegramClient
from telethon.errors import RPCError
from telethon.network import ConnectionTcpFull
from telethon.tl.types import NewSessionCreated

from afx.telegram.session import StoredSession

REQUEST_SECONDS = 30.0
"""How long Telegram may take to answer one request."""

_quiet = logging.getLogger("afx.telethon")
_quiet.setLevel(logging.CRITICAL)


class NoAnswerError(ConnectionError):
    """Telegram did not answer a request in time; the connection is of no use."""


def guarded_connection(
    guard: Callable[[], bool], allows: Callable[[str, int], bool], in_flight_seconds: float
) -> type:
    """Return a connection class that refuses to write when ``guard`` returns False.

    It connects only to what ``allows`` says of host and port, also when a data centre
    sends the client to another one. What it has written reaches Telegram within
    ``in_flight_seconds``, or never.
    """

    class GuardedConnection(ConnectionTcpFull):  # type: ignore[misc]
        """Checks the lease before each write to the socket."""

        async def _connect(self, *args: Any, **kwargs: Any) -> None:
            if not guard():
                raise ConnectionError("the node's lease has run out")
            if not allows(self._ip, self._port):
                raise ConnectionError(f"{self._ip}:{self._port} is not a server of Telegram")
            await super()._connect(*args, **kwargs)
            _limit_delivery(self._writer, in_flight_seconds)

        async def disconnect(self) -> None:
            # Telethon's own buffer must not be written out after the session has been
            # reported as stopped.
            if self._writer:
                self._writer.transport.abort()
            await super().disconnect()

        def _send(self, data: bytes) -> None:
            if not guard():
                raise ConnectionError("the node's lease has run out")
            super()._send(data)

    return GuardedConnection


def _limit_delivery(writer: asyncio.StreamWriter, seconds: float) -> None:
    """Let the kernel drop a socket's unsent data when it closes or gets no answer.

    By default the kernel goes on sending for minutes, also for a dead process, and
    Telegram would receive data of a session's old connection after its new one.
    Source: socket(7), SO_LINGER; RFC 5482 and tcp(7), TCP_USER_TIMEOUT.
    """
    with socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno())) as copy:
        copy.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        copy.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))


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

    async def run_in_order(self, requests: list[Any]) -> list[Any]:
        """Send requests at once, each to run after the one before it.

        Returns each one's answer, or the RPCError that it met. Their peers must
        be input peers. Telethon's own call is not used: it sleeps and repeats a
        request that was refused as a duplicate. Raises ConnectionError, also when
        the next answer does not come in time.
        """
        answers: list[Any] = []
        loop = asyncio.get_running_loop()
        futures = self._sender.send(requests, ordered=True)
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
