"""A TCP link that can be made slow, lossy or silent, for tests and soaks.

It is between one process and a server. Bytes are never reordered or lost, as TCP
promises: a bad network delays them. Only after a reset (of a process that died with
SO_LINGER 0) are segments in flight lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

_CHUNK = 1 << 16
_SEGMENT = 1448
"""Bytes of a TCP segment on an Ethernet."""
_RETRANSMIT_SECONDS = 0.2
"""Linux's shortest retransmission timeout; it doubles with each loss in a row."""

_Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


class BadLink:
    """Listens on its own port and forwards all connections to a server.

    It runs on its own thread; its methods may be called from any other.
    """

    def __init__(
        self, target: str | tuple[str, int], *, seed: int = 0, host: str = "127.0.0.1"
    ) -> None:
        """``target`` is a unix socket's path, or (host, port); ``host`` is where it listens."""
        self._connect = _connector(target)
        self._random = random.Random(seed)
        self._delay = 0.0
        self._loss = 0.0
        self._loop = asyncio.new_event_loop()
        self._gates: list[asyncio.Event] = []
        self._open_gate()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="link", daemon=True)
        self._thread.start()
        self._server = self._call(asyncio.start_server(self._accept, host, 0))
        self.address: tuple[str, int] = self._server.sockets[0].getsockname()[:2]

    @property
    def connections(self) -> int:
        """How many connections it carries now."""
        return len(self._tasks)

    def slow(self, delay_seconds: float, loss: float = 0.0) -> None:
        """Delay everything by so many seconds each way, and lose that share of segments."""
        self._delay, self._loss = delay_seconds, loss

    def cut(self) -> None:
        """Let nothing through; what is in flight arrives after ``mend``."""
        self._loop.call_soon_threadsafe(self._set_gates, False)

    def stall(self) -> None:
        """Let nothing through on connections that are open now; new ones work."""
        self.cut()
        self._loop.call_soon_threadsafe(self._open_gate)

    def mend(self) -> None:
        """Let everything through again, at once and without loss."""
        self.slow(0.0)
        self._loop.call_soon_threadsafe(self._set_gates, True)

    def redirect(self, target: str | tuple[str, int]) -> None:
        """Forward to another server from now on; open connections are reset."""
        self._connect = _connector(target)
        self.drop()

    def drop(self) -> None:
        """Close all connections that are open now, as a reset does."""
        self._call(self._drop())

    def close(self) -> None:
        """Close everything, and end the thread."""
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _open_gate(self) -> None:
        """Create the gate of all connections from now on."""
        self._gates.append(asyncio.Event())
        self._gates[-1].set()

    def _set_gates(self, are_open: bool) -> None:
        for gate in self._gates:
            if are_open:
                gate.set()
            else:
                gate.clear()

    def _call(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _close(self) -> None:
        self._server.close()
        await self._drop()
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)

    async def _drop(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await self._serve(reader, writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = {writer}
        gate = self._gates[-1]
        self._writers.add(writer)
        try:
            await gate.wait()
            server_reader, server_writer = await self._connect()
            ends.add(server_writer)
            self._writers.add(server_writer)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(reader, server_writer, gate))
                both.create_task(self._pump(server_reader, writer, gate))
        except* OSError:
            pass
        finally:
            self._writers -= ends
            for it in ends:
                it.transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: asyncio.Event
    ) -> None:
        """Forward each chunk when it is due; ends the connection when one side does."""
        in_flight: asyncio.Queue[tuple[float, bool, bytes]] = asyncio.Queue(1000)
        was_reset = False

        async def take() -> None:
            nonlocal was_reset
            due = 0.0
            data = b"-"
            while data:
                try:
                    data = await reader.read(_CHUNK)
                except ConnectionResetError:
                    data, was_reset = b"", True
                lost = self._lost_time(len(data))
                due = max(due, self._loop.time() + self._delay + lost)
                await in_flight.put((due, lost > 0, data))

        async def give() -> None:
            while True:
                due, lost, data = await in_flight.get()
                await asyncio.sleep(due - self._loop.time())
                await gate.wait()
                if not data or (lost and was_reset):
                    raise ConnectionResetError
                writer.write(data)
                await writer.drain()

        async with asyncio.TaskGroup() as both:
            both.create_task(take())
            both.create_task(give())

    def _lost_time(self, size: int) -> float:
        """Return by how many seconds retransmissions delay a chunk."""
        worst = 0.0
        for _ in range(-(-size // _SEGMENT) if self._loss else 0):
            wait, total = max(_RETRANSMIT_SECONDS, 2 * self._delay), 0.0
            while self._random.random() < self._loss:
                total += wait
                wait *= 2
            worst = max(worst, total)
        return worst


def _connector(target: str | tuple[str, int]) -> _Connect:
    if isinstance(target, str):
        return lambda: asyncio.open_unix_connection(target)
    return lambda: asyncio.open_connection(*target)
