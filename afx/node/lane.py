"""The ordered queue of one session's deliveries to one destination."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from afx.forwarding.pipeline import Delivery
from afx.node.intents import Intents
from afx.node.lane_owner import LaneOwner
from afx.node.lane_queue import LaneQueue
from afx.node.lane_sender import BATCH, LaneSender
from afx.node.outbox import Outbox
from afx.node.outbox_reader import RULE_GONE
from afx.node.references import Reference
from afx.reasons import DeadReason, TroubleReason
from afx.telegram.boxes import Ticket
from afx.telegram.change_sender import KNOWN
from afx.telegram.errors import is_lost_login, logged
from afx.telegram.sender import Outcome

if TYPE_CHECKING:
    from afx.telegram.client import AccountClient
    from afx.telegram.peers import Peers

_DRAIN_SECONDS = 2.0
_BACKOFF_MAX = 60.0
_REPORTED_AFTER = 3
"""Failures in a row before a failing send is reported."""
_HINDERED_AFTER = 6
"""Failures in a row, of about a minute, after which the rules of a lane count as hindered."""
_PARK_SECONDS = 30.0
"""A lane that has to wait for longer gives what it holds to its outbox."""
_MOST_HELD = 2_500
"""Deliveries that a lane holds; beyond that they go to its outbox. More than the updates
in flight of one box: a burst of one source does not pass through outboxes."""
_MOST_FOR_CLOSED = 100_000
"""References that wait for a destination that takes no messages; more are dead letters."""

_GONE = replace(KNOWN, dead=DeadReason.MESSAGE_GONE)
"""What was deleted before it was sent: the same content may be sent later."""

log = structlog.get_logger()


class Lane:
    """Sends its deliveries one batch after another, in order.

    A lane has a task only while it has something to send. Nothing leaves the queue
    before it is settled, so a lost connection loses nothing: ``resume`` goes on where
    it stopped. What is in its outbox is sent first, and what comes goes behind that.
    """

    __slots__ = (
        "_failures",
        "_holds",
        "_may_park",
        "_not_before",
        "_outbox",
        "_owner",
        "_paused",
        "_queue",
        "_sender",
        "_since",
        "_task",
        "_timer",
        "closed",
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
        self._owner = owner
        self._queue = LaneQueue()
        self._sender = LaneSender(client, peers, intents, owner, outbox, self._queue, self)
        self._task: asyncio.Task[None] | None = None
        self._paused = False
        self._timer: asyncio.TimerHandle | None = None
        self._holds = False
        """The timer is for more items of an album: what comes may end the wait."""
        self._not_before = 0.0
        """The loop's time until which Telegram wants no send; pauses do not shorten it."""
        self._failures = 0
        self._outbox = outbox
        self._may_park = may_park
        self._since = 0.0
        """The loop's time when the queue was empty last, or a delivery left it."""
        self.closed = ""
        """Why the destination takes no messages: all waits in the outbox; "" when it does."""

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, delivery: Delivery, ticket: Ticket) -> None:
        """Append one delivery."""
        if self._outbox.contains(delivery):
            self._owner.stored(ticket)  # it is replayed
            return
        if delivery.op != "send" and not self._outbox:
            gone = self._queue.fold(delivery)
            if gone is not None:
                for it, its_ticket in gone:
                    self._owner.settled(it, its_ticket, _GONE)
                self._owner.settled(delivery, ticket, KNOWN)
                return
        if not self._outbox and not self._must_park():
            if delivery.album or not self._queue:
                now = asyncio.get_running_loop().time()
                self._since = self._since if self._queue else now
                self._queue.append(delivery, ticket, now)
            else:
                self._queue.append(delivery, ticket)
        else:
            self._park()
            self._outbox.append(delivery)
            self._owner.stored(ticket)
            self._bound()
        self._start()

    def put_behind(self, delivery: Delivery) -> bool:
        """Put a delivery behind all others, to be read again when it is sent.

        Returns False for one that waits already.
        """
        self._park()
        is_new = not self._outbox.contains(delivery)
        if is_new:
            self._outbox.append(delivery)
            self._bound()
        self._start()
        return is_new

    def withdraw(self, is_unwanted: Callable[[Reference], bool]) -> list[Reference]:
        """Take sends out of the outbox, of those that were surely not sent; returns them."""
        outbox = self._outbox
        if outbox.open:
            outbox.open = self._queue.recall(outbox.open)
        return outbox.drop(is_unwanted)

    def waiting(self) -> Iterable[Delivery | Reference]:
        """Return all that has not left, with what is in flight."""
        if self._outbox:
            return self._outbox.references()
        return (it for it, _ in self._queue.entries())

    def begun(self) -> list[Delivery]:
        """Return what may have been sent, and is not settled."""
        return self._queue.begun()

    def start(self) -> None:
        """Send what is in the outbox."""
        self._start()

    def _must_park(self) -> bool:
        """Return whether what comes is to go to the outbox."""
        if self.closed:
            return True
        if not self._may_park:
            return False
        if len(self._queue) >= _MOST_HELD:
            return True
        if not self._not_before:  # nearly always; the loop's time is not cheap
            return False
        return self._not_before - asyncio.get_running_loop().time() > _PARK_SECONDS

    def leave_out(self, rules: Collection[int]) -> None:
        """Settle what was surely not sent, and is of none of these rules: they are gone.

        What an outbox holds of them is found out when it is read, as it is now.
        """
        if not self._queue:
            return
        if self._outbox:
            if any(it.rule not in rules for it, _ in self._queue.entries()):
                self._outbox.open = self._queue.recall(self._outbox.open)
            return
        for delivery, ticket in self._queue.take_out(rules):
            outcome = RULE_GONE if delivery.op == "send" else KNOWN
            self._owner.settled(delivery, ticket, outcome)

    def _park(self) -> None:
        """Give all that is held to the outbox, unless it is from there.

        What may be in flight stays here too, so that it is settled when it is answered; what
        has not begun is read again, so that an album has all of its items.
        """
        if self._outbox or not self._queue:
            return
        held = self._queue.entries()
        for delivery, _ticket in held:
            self._outbox.append(delivery)
        self._queue.keep_first(self._outbox.begin(len(self._queue.begun())))
        for _delivery, ticket in held:
            self._owner.stored(ticket)

    def try_again(self) -> None:
        """Send to a destination that has refused to take messages."""
        if self.closed:
            self.closed = ""
            self._start()

    def close(self, reason: str) -> None:
        """Wait until ``try_again``: the destination takes no messages of the account."""
        self.closed = reason or "it is closed"
        self._park()
        destination = self._outbox.destination
        self._owner.trouble(
            TroubleReason.DESTINATION_CLOSED, f"{destination} takes no messages: {reason}"
        )
        self._owner.destination_closed(destination, reason)

    def _bound(self) -> None:
        """Make the first of too many that wait for a closed destination a dead letter."""
        if not self.closed or self._outbox.count <= _MOST_FOR_CLOSED:
            return
        dead = Outcome("refused", reason="too much waits", dead=DeadReason.DESTINATION_CLOSED)
        if self._queue:
            self._sender.settle(dead)
            return
        references, self._outbox.reading = self._outbox.first(BATCH), 0
        for it, ticket in zip(references, self._outbox.begin(len(references)), strict=True):
            self._owner.settled(it.delivery(self._outbox.destination), ticket, dead)

    def pause(self) -> None:
        """Start no new batch; the one in flight may still settle."""
        self._paused = True
        if self._timer:
            self._timer.cancel()
            self._timer, self._holds = None, False

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
        is_due = (self._queue or self._outbox) and not (self._paused or self.closed)
        if self._holds and self._timer:
            self._timer.cancel()
            self._timer, self._holds = None, False
        if not is_due or self._task or self._timer:
            return
        loop = asyncio.get_running_loop()
        if self._not_before > loop.time():
            self._timer = loop.call_at(self._not_before, self._waited)
            return
        self._task = loop.create_task(self._sender.run())
        self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            if not self._holds:  # what came meanwhile has ended the wait for an album
                self._start()
        elif is_lost_login(error) or isinstance(error, OSError | EOFError):
            # The session pauses and resumes its lanes as it reconnects.
            self._owner.lost(error)
        else:
            # Neither the connection nor Telegram is at fault: a reconnect would not help.
            log.error("lane_failed", error=logged(error))
            self._owner.trouble(TroubleReason.INTERNAL_ERROR, f"a send failed: {logged(error)}")
            self.back_off(text=f"an internal error: {type(error).__name__}")
            self._start()

    # --- what its sender reports ---------------------------------------------------------

    @property
    def may_send(self) -> bool:
        """Whether nothing holds up the next batch."""
        now = asyncio.get_running_loop().time()
        return not self._paused and not self.closed and self._not_before <= now

    def park(self) -> None:
        """Give what is held to the outbox: what is first takes long."""
        if self._may_park:
            self._park()

    def passed(self) -> None:
        """A delivery has left for good."""
        if self._failures >= _HINDERED_AFTER:
            self._owner.hindered(self._outbox.destination, "")
        self._failures = 0
        self._since = asyncio.get_running_loop().time()

    def back_off(self, reason: TroubleReason | None = None, text: str = "") -> None:
        """Wait, longer each time; what keeps failing is reported."""
        self._failures += 1
        self.wait(min(_BACKOFF_MAX, 2.0 ** min(self._failures - 1, 16)))
        if reason is not None and self._failures == _REPORTED_AFTER:
            self._owner.trouble(reason, text)
        if text and self._failures == _HINDERED_AFTER:
            self._owner.hindered(self._outbox.destination, text)

    def hold(self, seconds: float) -> None:
        """Wait for the rest of an album, unless something comes before."""
        loop = asyncio.get_running_loop()
        self._timer, self._holds = loop.call_later(seconds, self._waited), True

    def wait(self, seconds: float) -> None:
        """Start no batch for a time; a longer wait that is under way stays."""
        now = asyncio.get_running_loop().time()
        self._not_before = max(self._not_before, now + seconds)
        if self._may_park and self._queue and self._not_before - self._since > _PARK_SECONDS:
            self._park()

    def _waited(self) -> None:
        # The wait may have become longer meanwhile.
        self._timer, self._holds = None, False
        self._start()
