"""When tasks have the node's loop: between its forwards, a little at a time.

A message that arrives takes some turns of the loop until it is sent on: it is read, its lane
runs, what is to be sent is written. Each turn that begins tasks' work as well makes all of that
later, several times over. So the work of tasks is cut into pieces of one job, and none begins
while a message is on its way through the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

TURNS_OF_A_FORWARD = 4
"""Turns of the loop from the arrival of a message to the write of its copy, and one more."""
MOST_SECONDS = 0.01
"""Tasks wait no longer for a loop in which messages arrive all the time."""


def turns_left(left: int, arrived: bool) -> int:
    """Return how many further turns belong to forwarding, after one has passed.

    ``arrived`` says whether a message has arrived in it.
    """
    return TURNS_OF_A_FORWARD if arrived else max(0, left - 1)


class Turns:
    """Gives the turns of one loop to tasks."""

    def __init__(
        self,
        arrivals: Callable[[], int],
        clock: Callable[[], float],
        turn: Callable[[], Awaitable[None]] = lambda: asyncio.sleep(0),
    ) -> None:
        """``arrivals`` counts what has arrived from Telegram; ``clock`` is monotonic seconds.

        ``turn`` returns in the next turn of the loop.
        """
        self._arrivals = arrivals
        self._clock = clock
        self._turn = turn
        self._seen = arrivals()
        self._left = 0

    async def next(self) -> None:
        """Return in a turn of the loop in which a piece of tasks' work may be done."""
        until = self._clock() + MOST_SECONDS
        while True:
            await self._turn()
            count = self._arrivals()
            self._left = turns_left(self._left, count != self._seen)
            self._seen = count
            if not self._left or self._clock() >= until:
                return
