"""One proxy in front of the sandbox: relays connections, from an address of its own.

The sandbox sees the front's address, ``exit``, as where a client comes from: so a test sees
which way each connection took.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Protocol

_CHUNK = 1 << 16
_SECONDS = 20.0
"""How long a client may take to say what it wants."""

Change = Callable[[bytes], bytes]


class RefusedError(Exception):
    """The client does not get through."""


class Greeting(Protocol):
    """How a front agrees with a client where to connect to."""

    async def __call__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, front: Front, /
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, Change, Change]:
        """Return the connection to the sandbox, and what changes data on its way out and in.

        Raises RefusedError.
        """


class Front:
    """A proxy that listens on loopback."""

    def __init__(
        self,
        greeting: Greeting,
        *,
        allows: Callable[[str, int], bool],
        exit_address: str = "127.0.0.1",
    ) -> None:
        """``allows`` says where it may lead: it is a way to the sandbox, and nowhere else.

        ``exit_address``, one of 127.0.0.0/8, is where its connections come from.
        """
        self._greeting = greeting
        self._allows = allows
        self.exit = exit_address
        self.host, self.port = "127.0.0.1", 0
        self.accepted = 0
        """How many clients have come."""
        self.refused = 0
        self.relayed: list[tuple[str, int]] = []
        """Where clients were led, in order."""
        self._listener: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, port: int = 0) -> None:
        """Listen; ``port`` 0 takes a free one, or the one that it had before."""
        server = await asyncio.start_server(self._serve, self.host, port or self.port)
        self._listener = server
        self.port = server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening, and end all connections; it may be started again."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        tasks = list(self._tasks)
        for it in tasks:
            it.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def connect(
        self, host: str, port: int
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to a server of the sandbox; raises OSError, and RefusedError for others."""
        if not self._allows(host, port):
            raise RefusedError("it leads elsewhere")
        local = (self.exit, 0) if "." in host else None
        found = await asyncio.open_connection(host, port, local_addr=local)
        self.relayed.append((host, port))
        return found

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.accepted += 1
        server: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(_SECONDS):
                from_server, server, out, back = await self._greeting(reader, writer, self)
            await _either(_relay(reader, server, out), _relay(from_server, writer, back))
        except (RefusedError, ConnectionError, OSError, asyncio.IncompleteReadError, ValueError):
            self.refused += 1
        except asyncio.CancelledError:
            pass  # the front ends
        finally:
            self._tasks.discard(task)
            for it in (writer, server):
                if it is not None:
                    it.transport.abort()


async def _either(*relays: object) -> None:
    """Relay both ways until one of them ends."""
    tasks = [asyncio.ensure_future(it) for it in relays]  # type: ignore[call-overload]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for it in tasks:
            it.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _relay(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, change: Change
) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(_CHUNK):
            writer.write(change(data))
            await writer.drain()
