"""A Telethon client that writes only while its node's lease lasts.

Two things of Telethon's are replaced, both by subclassing: the connection asks
the guard before each write, and forgets what is not delivered when it closes; and
updates come to us raw, since the message box hands them out before what they cause
is settled. Telethon never reconnects by itself here: that is decided where the
lease is known.
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

from afx.telegram.session import StoredSession

_quiet = logging.getLogger("afx.telethon")
_quiet.setLevel(logging.CRITICAL)


def guarded_connection(guard: Callable[[], bool], in_flight_seconds: float) -> type:
    """Return a connection class that refuses to write when ``guard`` says no.

    What it has written reaches Telegram within ``in_flight_seconds``, or never.
    """

    class GuardedConnection(ConnectionTcpFull):  # type: ignore[misc]
        """Checks the lease before each write to the socket."""

        async def _connect(self, *args: Any, **kwargs: Any) -> None:
            if not guard():
                raise ConnectionError("the node's lease has run out")
            await super()._connect(*args, **kwargs)
            _let_nothing_outlive(self._writer, in_flight_seconds)

        async def disconnect(self) -> None:
            # Nor may Telethon's own buffer be written out after we have said that
            # the session has stopped.
            if self._writer:
                self._writer.transport.abort()
            await super().disconnect()

        def _send(self, data: bytes) -> None:
            if not guard():
                raise ConnectionError("the node's lease has run out")
            super()._send(data)

    return GuardedConnection


def _let_nothing_outlive(writer: asyncio.StreamWriter, seconds: float) -> None:
    """Let the kernel drop a socket's unsent data when it closes or gets no answer.

    Else it goes on sending it for minutes, also for a process that is dead, and
    Telegram would hear from a session's old connection after its new one.
    Source: socket(7), SO_LINGER; RFC 5482 and tcp(7), TCP_USER_TIMEOUT.
    """
    with socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno())) as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        held.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))


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
        self._on_updates = on_updates

    async def __call__(self, request: Any, ordered: bool = False, **options: Any) -> Any:
        """Make a request; a connection that ends meanwhile is a ConnectionError.

        Telethon cancels what waits for an answer: for its caller that would
        look as if the caller itself had been cancelled.
        """
        try:
            return await super().__call__(request, ordered=ordered, **options)
        except asyncio.CancelledError:
            self._raise_if_cancelled()
            raise ConnectionError("the connection ended") from None

    async def run_in_order(self, requests: list[Any]) -> list[Any]:
        """Send requests at once, each to run after the one before it.

        Returns each one's answer, or the RPCError that it met. Their peers must
        be input peers. Telethon's own call is not used: it sleeps and repeats a
        request that was refused as a duplicate. Raises ConnectionError.
        """
        answers: list[Any] = []
        futures = self._sender.send(requests, ordered=True)
        try:
            for future in futures:
                try:
                    answers.append(await future)
                except RPCError as error:
                    answers.append(error)
                except asyncio.CancelledError:
                    self._raise_if_cancelled()
                    raise ConnectionError("the connection ended") from None
        finally:
            for future in futures[len(answers) :]:
                # Nobody will ask for these any more.
                if not future.cancel() and not future.cancelled():
                    future.exception()
        return answers

    async def hang_up(self) -> None:
        """Disconnect, and forget requests that were not sent yet.

        Telethon would send them over the next connection, long after whoever
        made them has given up on them.
        """
        await self.disconnect()
        self._sender._send_queue._deque.clear()  # noqa: SLF001

    @staticmethod
    def _raise_if_cancelled() -> None:
        """Raise CancelledError when the running task itself was cancelled."""
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise asyncio.CancelledError

    async def _update_loop(self) -> None:
        queue: asyncio.Queue[Any] = self._updates_queue
        while True:
            self._on_updates(await queue.get())
