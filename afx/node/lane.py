"""The ordered queue of one session's deliveries to one destination."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import structlog
from telethon import errors

from afx.forwarding.pipeline import Delivery
from afx.node.followed import alike, closes_destination, fold
from afx.node.intents import Intents
from afx.node.lane_owner import LaneOwner
from afx.node.message_source import ToldToWaitError
from afx.node.outbox import Outbox
from afx.node.outbox_reader import Found, refusal
from afx.node.patience import Patience, Step
from afx.reasons import DeadReason, TroubleReason
from afx.telegram.boxes import Ticket
from afx.telegram.change_sender import KNOWN, send_changes
from afx.telegram.errors import is_lost_login, is_stale_reference, refuses_chat
from afx.telegram.sender import SPLIT, Outcome, is_forward, send

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
_MOST_FOR_CLOSED = 100_000
"""References that wait for a destination that takes no messages; more are dead letters."""
_MOST_FETCHES = 3
"""Times that one message is fetched anew before it counts as refused."""

log = structlog.get_logger()


class Lane:
    """Sends its deliveries one batch after another, in order.

    A lane has a task only while it has something to send. Nothing leaves the queue
    before it is settled, so a lost connection loses nothing: ``resume`` goes on where
    it stopped. What is in its outbox is sent first, and what comes goes behind that.
    """

    __slots__ = (
        "_begun",
        "_client",
        "_failures",
        "_fetches",
        "_intents",
        "_is_closed",
        "_may_park",
        "_not_before",
        "_outbox",
        "_owner",
        "_patience",
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
        self._begun = 0
        """How many of the first deliveries may have been sent, and are not settled."""
        self._outbox = outbox
        self._may_park = may_park
        self._since = 0.0
        """The loop's time when the queue was empty last, or a delivery left it."""
        self._fetches = 0
        """How often the first message was fetched anew."""
        self._is_closed = False
        """The destination takes no messages; all waits in the outbox."""
        self._patience = Patience()

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, delivery: Delivery, ticket: Ticket) -> None:
        """Append one delivery."""
        if self._outbox.contains(delivery):
            self._owner.stored(ticket)  # it is replayed
            return
        if delivery.op != "send" and not self._outbox:
            gone = fold(self._queue, self._begun, delivery)
            if gone is not None:
                for it, its_ticket in (*gone, (delivery, ticket)):
                    self._owner.settled(it, its_ticket, KNOWN)
                return
        if not self._outbox and not self._must_park():
            if not self._queue:
                self._since = asyncio.get_running_loop().time()
            self._queue.append((delivery, ticket))
        else:
            self._park()
            self._outbox.append(delivery)
            self._owner.stored(ticket)
            if self._is_closed and self._outbox.count > _MOST_FOR_CLOSED:
                self._give_up_first()
        self._start()

    def put_behind(self, delivery: Delivery) -> None:
        """Put a delivery behind all others, to be read again when it is sent."""
        self._park()
        if not self._outbox.contains(delivery):
            self._outbox.append(delivery)
        self._start()

    def start(self) -> None:
        """Send what is in the outbox."""
        self._start()

    def _must_park(self) -> bool:
        """Return whether what comes is to go to the outbox."""
        if self._is_closed:
            return True
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

    def try_again(self) -> None:
        """Send to a destination that has refused to take messages."""
        if self._is_closed:
            self._is_closed = False
            self._start()

    def _close(self, reason: str) -> None:
        """Wait until ``try_again``: the destination takes no messages of the account."""
        self._is_closed = True
        self._park()
        destination = self._outbox.destination
        self._owner.trouble(
            TroubleReason.DESTINATION_CLOSED, f"{destination} takes no messages: {reason}"
        )
        self._owner.destination_closed(destination, reason)

    def _give_up_first(self) -> None:
        """Make the first of too many that wait for a closed destination a dead letter."""
        dead = Outcome("refused", reason="too much waits", dead=DeadReason.DESTINATION_CLOSED)
        if self._queue:
            self._settle(dead)
            return
        references, self._outbox.reading = self._outbox.first(_BATCH), 0
        for it, ticket in zip(references, self._outbox.begin(len(references)), strict=True):
            self._owner.settled(it.delivery(self._outbox.destination), ticket, dead)

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
        is_due = (self._queue or self._outbox) and not (self._paused or self._is_closed)
        if not is_due or self._task or self._timer:
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
        while (
            (self._queue or self._outbox) and not self._paused and self._not_before <= loop.time()
        ):
            if not self._queue:
                if not await self._fill():
                    return
                continue
            destination, batch = self._outbox.destination, alike(self._queue, _BATCH)
            outcomes = await self._make([delivery for delivery, _ in batch], singly)
            if outcomes is None:
                return
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
                if outcome.result == "refused" and closes_destination(delivery, outcome):
                    await self._note_closed(delivery, outcome.reason)
                    if self._is_closed:
                        return
                    break
                self._settle(outcome)

    async def _make(self, batch: Sequence[Delivery], singly: bool) -> list[Outcome] | None:
        """Send, or change, what is first; None when the session is ending here."""
        self._begun = max(self._begun, len(batch))
        peer = self._peers.input_peer
        if batch[0].op != "send":
            await self._owner.find_copies(batch)
            return await send_changes(self._client, batch, peer, singly=singly)
        destination = batch[0].destination
        if not await self._intents.store(destination):
            self.pause()
            return None
        outcomes = await send(self._client, batch, peer, singly=singly)
        if all(it.result != "failed" for it in outcomes):  # what is not settled was not sent
            self._intents.end(destination)
        return outcomes

    async def _fill(self) -> bool:
        """Fetch the next messages of the outbox; False when they cannot be read now."""
        await asyncio.sleep(0)  # what needs no request must not hold up the other lanes
        references = self._outbox.first(self._patience.size)
        if not references:
            self._back_off()
            return False
        try:
            found = await self._owner.contents(self._outbox.destination, references)
        except ToldToWaitError as error:
            self.wait(error.seconds)
            return False
        finally:
            self._outbox.reading = 0
        ready = list(takewhile(lambda it: not it[1] or it[1].result != "failed", found))
        if ready:
            self._patience.passed({it.source for it, _ in ready})
        else:
            step, ready = self._judge_unread(found)
            if not ready:
                return step == "narrow"
        for (delivery, outcome), ticket in zip(ready, self._outbox.begin(len(ready)), strict=True):
            if outcome is None:
                self._queue.append((delivery, ticket))
            else:
                self._owner.settled(delivery, ticket, outcome)
        return True

    def _judge_unread(self, found: Found) -> tuple[Step, Found]:
        """Return what to do about a first message that cannot be read now.

        With it those that are given up, with their outcomes.
        """
        first, outcome = found[0]
        assert outcome is not None and outcome.dead is not None
        step = self._patience.refused(first.source, outcome.dead, len(found))
        if step == "narrow":
            return step, []
        if step == "later":
            self._back_off()
            if self._failures == _REPORTED_AFTER:
                self._owner.trouble(
                    TroubleReason.SOURCE_UNREADABLE,
                    f"what waits of {first.source} cannot be read: {outcome.reason}",
                )
            return step, []
        dead = replace(outcome, result="refused", attempts=self._patience.tries)
        self._patience.settled(first.source, is_read=False)
        self._failures = 0
        given_up = takewhile(lambda it: it[0].source == first.source and it[1] == outcome, found)
        return step, [(delivery, dead) for delivery, _ in given_up]

    def _settle(self, outcome: Outcome) -> None:
        """Take the first delivery out of the queue for good."""
        self._failures = self._fetches = 0
        self._begun = max(0, self._begun - 1)
        # Its ticket is the outbox's if it was parked while it was in flight.
        delivery, ticket = self._queue.popleft()
        self._since = asyncio.get_running_loop().time()
        self._patience.settled(delivery.source, is_read=outcome.copy != 0)
        self._owner.settled(delivery, ticket, outcome)

    async def _fetch_first(self, delivery: Delivery, reason: str) -> None:
        """Fetch the first message anew, since its file has expired; refuse it if that is vain.

        Source: core.telegram.org/api/file-references.
        """
        if self._fetches >= _MOST_FETCHES:
            self._settle(Outcome("refused", reason=reason, attempts=self._fetches))
            return
        found = await self._read_first(delivery)
        if found is None:
            return
        self._fetches += 1
        if not found:
            self._settle(Outcome("refused", reason=reason, dead=DeadReason.MESSAGE_GONE))
        elif delivery.op == "edit":
            delivery.whole = found[0]
        elif delivery.raw is not None:
            delivery.raw = found[0]

    async def _note_closed(self, delivery: Delivery, reason: str) -> None:
        """Telegram refuses the chats of a send: wait, if it is the destination.

        A forward names its source as well, which may be the one that is closed.
        """
        if not is_forward(delivery) or await self._read_first(delivery) is not None:
            self._close(reason)

    async def _read_first(self, delivery: Delivery) -> Sequence[Any] | None:
        """Return the first message, nothing if it is gone; None when that cannot be told now.

        A source that cannot be read is tried again some times, and then it is given up.
        """
        try:
            return await self._owner.renew(delivery.source, delivery.message)
        except ToldToWaitError as error:
            self.wait(error.seconds)
        except errors.RPCError as error:
            if not refuses_chat(error):
                raise
            refused = refusal(error)
            assert refused.dead is not None
            if self._patience.refused(delivery.source, refused.dead, 1) == "give up":
                tries = self._patience.tries
                self._settle(replace(refused, result="refused", attempts=tries))
            else:
                self._note_failure(delivery, refused.reason)
        return None

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
