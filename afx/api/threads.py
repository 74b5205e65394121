"""The threads in which operations run: they wait for servers, and the event loop must not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier, BrokenBarrierError
from typing import TypeVar

from afx.errors import UnreachableError
from afx.operations.context import Servers

R = TypeVar("R")
READ_THREADS = 2
_MOST_WAITING = 256
"""Calls that may wait for a thread; a server that is slower than its clients says so."""
DEADLINE_SECONDS = 30.0
_LONG_SECONDS = 120.0
_MOST_ASKING = 3
"""Calls that wait for strangers, of which one is under way."""
_CLOSE_SECONDS = 0.5


class BusyError(UnreachableError):
    """Too many requests wait already, or the answer took too long."""


class Threads:
    """Two threads for reads; one each for changes, what takes long, strangers, and listening."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._reads = ThreadPoolExecutor(READ_THREADS, "api-read")
        # SQLite has one writer at a time, and Postgres serialises them by the audit log.
        self._changes = ThreadPoolExecutor(1, "api-change")
        self._long = ThreadPoolExecutor(1, "api-long")
        self._listens = ThreadPoolExecutor(1, "api-listen")
        self._strangers = ThreadPoolExecutor(1, "api-strangers")
        self._asking = 0
        """Calls that wait for strangers, or for their turn to do so."""
        self._waiting = 0

    async def read(self, function: Callable[[], R]) -> R:
        """Return the result of a read; raises BusyError after the deadline."""
        return await self._run(self._reads, function, DEADLINE_SECONDS)

    async def change(self, function: Callable[[], R]) -> R:
        """Return the result of a change, one at a time; raises BusyError after the deadline."""
        return await self._run(self._changes, function, DEADLINE_SECONDS)

    async def long(self, function: Callable[[], R]) -> R:
        """Return the result of something that takes seconds, one at a time."""
        return await self._run(self._long, function, _LONG_SECONDS)

    async def ask_strangers(self, function: Callable[[], R]) -> R:
        """Return what servers of others answer, one call at a time; raises BusyError for many.

        They may take as long as they like: that keeps nothing but such calls waiting.
        """
        if self._asking >= _MOST_ASKING:
            raise BusyError("Servers of others are being asked already; try again in a moment.")
        self._asking += 1
        try:
            return await self._run(self._strangers, function, _LONG_SECONDS)
        finally:
            self._asking -= 1

    async def listen(self, function: Callable[[], R]) -> R:
        """Return what something waits for; that keeps no thread from anything else."""
        return await self._run(self._listens, function, DEADLINE_SECONDS)

    async def close(self) -> None:
        """End the threads and their connections; what takes longer is left behind."""
        loop = asyncio.get_running_loop()
        closing = []
        single = (self._changes, self._long, self._listens, self._strangers)
        for pool, count in ((self._reads, READ_THREADS), *((it, 1) for it in single)):
            # Each thread waits for the others: so none of them takes two turns.
            together = Barrier(count)
            closing += [
                loop.run_in_executor(pool, self._close_thread, together) for _ in range(count)
            ]
        await asyncio.wait(closing, timeout=_CLOSE_SECONDS)
        for it in (self._reads, *single):
            it.shutdown(wait=False, cancel_futures=True)

    def _close_thread(self, together: Barrier) -> None:
        self._servers.drop_connection()
        with suppress(BrokenBarrierError):
            together.wait(_CLOSE_SECONDS)

    async def _run(self, pool: ThreadPoolExecutor, function: Callable[[], R], seconds: float) -> R:
        if self._waiting >= _MOST_WAITING:
            raise BusyError("The API has too many requests at once; try again in a moment.")
        self._waiting += 1
        future = asyncio.get_running_loop().run_in_executor(pool, self._guarded, function)
        try:
            # A timeout of its own would cost a task for each request.
            async with asyncio.timeout(seconds):
                return await future
        except TimeoutError as error:
            raise BusyError(
                "The servers of the cluster did not answer in time; whether a change was made "
                "is shown by the audit log. Try again."
            ) from error
        finally:
            self._waiting -= 1

    def _guarded(self, function: Callable[[], R]) -> R:
        try:
            return function()
        except UnreachableError:
            # The connection may lead to a server that was replaced.
            self._servers.drop_connection()
            raise
