"""The ordered queue of one session's deliveries to one destination."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import structlog
from telethon import errors

from afx.forwarding.pipeline import Delivery
from afx.node.intents import Intents
from afx.node.outbox import Outbox, Reference
from afx.reasons import TroubleReason
from afx.telegram.boxes import Ticket
from afx.telegram.differences import fetch_messages
from afx.telegram.errors import is_lost_login, is_stale_reference
from afx.telegram.sender import SPLIT, Outcome, send

if TYPE_CHECKING:
    from afx.telegram.client import AccountClient
    from afx.telegram.peers import Peers

_BATCH = 50
_DRAIN_SECONDS = 2.0
_BACKOFF_MAX = 60.0
_REPORTED_AFTER = 3
"""Failures in a row before a failing send is reported."""
_PARK_SECONDS = 30.0
"""A lane that has to wait for longer gives what it holds to its outbox."""
_MOST_HELD = 2_500
"""Deliveries that a lane holds; beyond that they go to its outbox. More than the updates
in flight of one box: a burst of one source does not pass through outboxes."""
_MOST_FETCHES = 3
"""Times that one message is fetched anew before it counts as refused."""

log = structlog.get_logger()


class LaneOwner(Protocol):
    """The forwarder that a lane belongs to."""

    def settled(self, delivery: Delivery, ticket: Ticket, outcome: Outcome) -> None:
        """A delivery has left its lane for good."""

    def lost(self, error: BaseException) -> None:
        """The connection, or the login, is lost."""

    def trouble(self, reason: TroubleReason, text: str) -> None:
        """Report what hinders the lane."""

    def left_out(self, ticket: Ticket) -> None:
        """A delivery is not to be made any more."""

    def stored(self, ticket: Ticket) -> None:
        """A delivery is in the outbox: its message need not wait for it."""

    async def contents(
        self, destination: int, references: Sequence[Reference]
    ) -> list[tuple[Delivery, Outcome | None]]:
        """Return the deliveries of an outbox's references; an outcome if not to be sent."""

    def told_to_wait(self, destination: int, outcome: Outcome) -> None:
        """Telegram wants no sends for a time, to this destination or to any."""


class Lane:
    """Sends its deliveries one batch after another, in order.

    A lane has a task only while it has something to send. Nothing leaves the queue
    before it is settled, so a lost connection loses nothing: ``resume`` goes on where
    it stopped. What is in its outbox is sent first, and what comes goes behind that.
    """

    __slots__ = (
        "_client",
        "_closed",
        "_failures",
        "_fetches",
        "_intents",
        "_may_park",
        "_not_before",
        "_outbox",
        "_owner",
        "_paused",
        "_peers",
        "_queue",
        "_since",
        "_task",
        "_timer",
    )

    def __init__(
        self,
        client: AccountClient,
        peers: Peers,
        intents: Intents,
        owner: LaneOwner,
        outbox: Outbox,
        *,
        may_park: bool,
    ) -> None:
        """``may_park``: deliveries may go to the outbox, however short it is."""
        self._client = client
        self._peers = peers
        self._intents = intents
        self._owner = owner
        self._queue: deque[tuple[Delivery, Ticket]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._paused = False
        self._timer: asyncio.TimerHandle | None = None
        self._not_before = 0.0
        """The loop's time until which Telegram wants no send; pauses do not shorten it."""
        self._failures = 0
        self._outbox = outbox
        self._may_park = may_park
        self._since = 0.0
        """The loop's time since when the queue has not been empty."""
        self._fetches = 0
        """How often the first message was fetched anew."""
        self._closed: set[int] = set()
        """Sources of which nothing that waits is to be sent."""

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, delivery: Delivery, ticket: Ticket) -> None:
        """Append one delivery."""
        if self._outbox.contains(delivery):
            self._owner.stored(ticket)  # it is replayed
            return
        if not self._outbox and not self._must_park():
            if not self._queue:
                self._since = asyncio.get_running_loop().time()
            self._queue.append((delivery, ticket))
        else:
            self._park()
            self._outbox.append(delivery)
            self._owner.stored(ticket)
        self._start()

    def start(self) -> None:
        """Send what is in the outbox."""
        self._start()

    def _must_park(self) -> bool:
        """Return whether what comes is to go to the outbox."""
        if not self._may_park:
            return False
        left = self._not_before - asyncio.get_running_loop().time()
        return left > _PARK_SECONDS or len(self._queue) >= _MOST_HELD

    def _park(self) -> None:
        """Give all that is held to the outbox, unless it is from there.

        What may be in flight stays here too, so that it is settled when it is answered.
        """
        if self._outbox or not self._queue:
            return
        held, self._queue = self._queue, deque()
        for delivery, _ticket in held:
            self._outbox.append(delivery)
        tickets = self._outbox.begin(min(_BATCH, len(held)))
        self._queue.extend(
            (delivery, ticket) for (delivery, _), ticket in zip(held, tickets, strict=False)
        )
        for _delivery, ticket in held:
            self._owner.stored(ticket)

    def close(self, source: int) -> None:
        """Leave out what waits of a source: this destination, or the source, is closed to it."""
        self._closed.add(source)
        if not self._task:
            self._sweep()

    def _sweep(self) -> None:
        """Leave out what waits of closed sources; no batch is in flight."""
        closed, self._closed = self._closed, set()
        if not closed:
            return
        out = [it for it in self._queue if it[0].source in closed]
        if not out:
            return
        self._queue = deque(it for it in self._queue if it[0].source not in closed)
        for _delivery, ticket in out:
            self._owner.left_out(ticket)
        self._owner.trouble(
            TroubleReason.MESSAGE_REFUSED,
            f"{len(out)} messages that waited for {out[0][0].destination} were left out",
        )

    def pause(self) -> None:
        """Start no new batch; the one in flight may still settle."""
        self._paused = True
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def resume(self) -> None:
        """Go on sending."""
        self._paused = False
        self._start()

    async def drain(self) -> None:
        """Start no new batch, and wait a short time for the one in flight.

        What is not answered by then is sent again by the next owner, under the same
        random_id.
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
        if not (self._queue or self._outbox) or self._task or self._paused or self._timer:
            return
        loop = asyncio.get_running_loop()
        if self._not_before > loop.time():
            self._timer = loop.call_at(self._not_before, self._waited)
            return
        self._task = loop.create_task(self._run())
        self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self._start()
        elif is_lost_login(error) or isinstance(error, OSError | EOFError):
            # The session pauses and resumes its lanes as it reconnects.
            self._owner.lost(error)
        else:
            # Neither the connection nor Telegram is at fault: a reconnect would not help.
            log.error("lane_failed", error=repr(error))
            self._owner.trouble(
                TroubleReason.INTERNAL_ERROR, f"a send failed: {type(error).__name__}: {error}"
            )
            self._back_off()
            self._start()

    async def _run(self) -> None:
        singly = False
        loop = asyncio.get_running_loop()
        self._sweep()
        while (
            (self._queue or self._outbox) and not self._paused and self._not_before <= loop.time()
        ):
            if not self._queue:
                if not await self._fill():
                    return
                continue
            batch = [self._queue[i] for i in range(min(_BATCH, len(self._queue)))]
            destination = batch[0][0].destination
            await self._intents.store(destination)
            outcomes = await send(
                self._client,
                [delivery for delivery, _ in batch],
                self._peers.input_peer,
                singly=singly,
            )
            if all(it.result != "failed" for it in outcomes):  # what is not settled was not sent
                self._intents.end(destination)
            singly = False
            for index, ((delivery, _), outcome) in enumerate(zip(batch, outcomes, strict=True)):
                if outcome.result == "wait":
                    self._owner.told_to_wait(destination, outcome)
                    return
                if outcome.result == "failed":
                    self._note_failure(delivery, outcome.reason)
                    return
                if is_stale_reference(outcome.reason) and outcome.result == "again":
                    singly = True
                    await self._fetch_first(delivery, outcome.reason)
                    break
                if outcome.result == "again":
                    singly = outcome.reason == SPLIT
                    if not singly and index == 0:
                        # Nothing before it has failed: without a pause this would go on
                        # for ever.
                        self._note_failure(delivery, outcome.reason)
                        return
                    break
                self._settle(outcome)
            self._sweep()

    async def _fill(self) -> bool:
        """Fetch the next messages of the outbox; False when Telegram wants a wait first."""
        references = self._outbox.first()
        if not references:
            self._back_off()
            return False
        try:
            found = await self._owner.contents(self._outbox.destination, references)
        except errors.FloodError as error:
            self.wait(max(1.0, float(getattr(error, "seconds", None) or 0)))
            return False
        for (delivery, outcome), ticket in zip(found, self._outbox.begin(len(found)), strict=True):
            if outcome is None:
                self._queue.append((delivery, ticket))
            else:
                self._owner.settled(delivery, ticket, outcome)
        return True

    def _settle(self, outcome: Outcome) -> None:
        """Take the first delivery out of the queue for good."""
        self._failures = self._fetches = 0
        # Its ticket is the outbox's if it was parked while it was in flight.
        delivery, ticket = self._queue.popleft()
        self._owner.settled(delivery, ticket, outcome)

    async def _fetch_first(self, delivery: Delivery, reason: str) -> None:
        """Fetch the first message anew, since its file has expired; refuse it if that is vain.

        Source: core.telegram.org/api/file-references.
        """
        if self._fetches >= _MOST_FETCHES:
            self._settle(Outcome("refused", reason=reason))
            return
        source = self._peers.input_peer(delivery.source)
        message = delivery.message
        found = await fetch_messages(self._client, delivery.source, source, [message])
        self._fetches += 1
        if not found:
            self._settle(Outcome("refused", reason=f"{reason}, and it is gone"))
        elif delivery.raw is not None:
            delivery.raw = found[0]

    def _note_failure(self, delivery: Delivery, reason: str) -> None:
        self._back_off()
        if self._failures == _REPORTED_AFTER:
            self._owner.trouble(
                TroubleReason.SEND_FAILED, f"sends to {delivery.destination} fail: {reason}"
            )

    def _back_off(self) -> None:
        self._failures += 1
        self.wait(min(_BACKOFF_MAX, 2.0 ** min(self._failures - 1, 16)))

    def wait(self, seconds: float) -> None:
        """Start no batch for a time; a longer wait that is under way stays."""
        now = asyncio.get_running_loop().time()
        self._not_before = max(self._not_before, now + seconds)
        if self._may_park and self._queue and self._not_before - self._since > _PARK_SECONDS:
            self._park()

    def _waited(self) -> None:
        # The wait may have become longer meanwhile.
        self._timer = None
        self._start()
