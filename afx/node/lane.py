"""The ordered queue of one session's deliveries to one destination."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from afx.forwarding.pipeline import Delivery
from afx.telegram.boxes import Ticket
from afx.telegram.sender import LOST_LOGIN, Outcome, send

if TYPE_CHECKING:
    from afx.telegram.client import AccountClient

_BATCH = 50
_DRAIN_SECONDS = 2.0
Settled = Callable[[Delivery, Ticket, Outcome], None]


class Lane:
    """Sends its deliveries one batch after another, in order.

    A lane has a task only while it has something to send. Nothing leaves the
    queue before it is settled, so a lost connection loses nothing: ``resume``
    goes on where it stopped.
    """

    __slots__ = ("_client", "_lost", "_peer", "_queue", "_settled", "_stopped", "_task", "_waits")

    def __init__(
        self,
        client: AccountClient,
        peer: Callable[[int], object],
        settled: Settled,
        lost: Callable[[BaseException], None],
    ) -> None:
        self._client = client
        self._peer = peer
        self._settled = settled
        self._lost = lost
        self._queue: deque[tuple[Delivery, Ticket]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._stopped = False
        self._waits: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, delivery: Delivery, ticket: Ticket) -> None:
        """Take one delivery."""
        self._queue.append((delivery, ticket))
        self._start()

    def pause(self) -> None:
        """Begin no new batch; what is on its way may still settle."""
        self._stopped = True
        if self._waits:
            self._waits.cancel()
            self._waits = None

    def resume(self) -> None:
        """Go on sending."""
        self._stopped = False
        self._start()

    async def drain(self) -> None:
        """Begin no new batch, and wait for the one on its way, but not for long.

        What is not answered by then is sent again by the next owner, under the
        same random_id.
        """
        self.pause()
        if self._task:
            await asyncio.wait({self._task}, timeout=_DRAIN_SECONDS)
        await self.cancel()

    async def cancel(self) -> None:
        """Stop at once: when a connection is lost, some answers never come."""
        self.pause()
        if self._task:
            self._task.cancel()
            await asyncio.wait({self._task})

    def _start(self) -> None:
        if self._queue and not self._task and not self._stopped and not self._waits:
            self._task = asyncio.get_running_loop().create_task(self._run())
            self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if task.cancelled():
            return
        if error := task.exception():
            self._lost(error)
        else:
            self._start()

    async def _run(self) -> None:
        singly = False
        while self._queue and not self._stopped:
            batch = [self._queue[i] for i in range(min(_BATCH, len(self._queue)))]
            outcomes = await send(
                self._client, [delivery for delivery, _ in batch], self._peer, singly=singly
            )
            singly = False
            for (delivery, ticket), outcome in zip(batch, outcomes, strict=True):
                if outcome.result == "wait":
                    self._wait(outcome.seconds)
                    return
                if outcome.result == "again":
                    singly = outcome.reason == "split"
                    break
                self._queue.popleft()
                self._settled(delivery, ticket, outcome)

    def _wait(self, seconds: float) -> None:
        self._waits = asyncio.get_running_loop().call_later(seconds, self._waited)

    def _waited(self) -> None:
        self._waits = None
        self._start()


def is_lost_login(error: BaseException) -> bool:
    """Return whether Telegram no longer takes a session's login."""
    return isinstance(error, LOST_LOGIN)
