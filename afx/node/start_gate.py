"""Bounds how many sessions connect at once; a start that waits does not block the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class StartGate:
    """Admits so many starts at once, each for a few seconds at most.

    The gate bounds the CPU time and the connections of a burst of starts. A start that
    takes longer waits for a server, which costs neither: it goes on outside the gate.
    """

    def __init__(self, most: int, most_seconds: float) -> None:
        self._places = asyncio.Semaphore(most)
        self._most_seconds = most_seconds

    @asynccontextmanager
    async def admitted(self) -> AsyncIterator[None]:
        """Wait for a place, which the block has until it ends or its time is over."""
        await self._places.acquire()
        is_out = False

        def leave() -> None:
            nonlocal is_out
            if not is_out:
                is_out = True
                self._places.release()

        timer = asyncio.get_running_loop().call_later(self._most_seconds, leave)
        try:
            yield
        finally:
            timer.cancel()
            leave()
