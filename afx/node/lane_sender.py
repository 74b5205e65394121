"""Sends what a lane holds, one batch after another, and tells its lane when it has to wait."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Protocol

from telethon import errors

from afx.forwarding.outputs import CLOSED_OUTPUT, is_output
from afx.forwarding.pipeline import Delivery
from afx.forwarding.whole_albums import MOST_IN_ALBUM, units
from afx.node.intents import Intents
from afx.node.lane_owner import LaneOwner
from afx.node.lane_queue import ALBUM_SECONDS, Entry, LaneQueue
from afx.node.message_source import ToldToWaitError, UnknownChatError
from afx.node.outbox import Outbox, Reference
from afx.node.outbox_reader import Found, refusal
from afx.node.parents import before_answers, forget, set_requests
from afx.node.patience import Patience, Step
from afx.node.plugged import plugged
from afx.node.vain_tries import VainTries
from afx.reasons import DeadReason, TroubleReason
from afx.telegram.change_sender import send_changes
from afx.telegram.errors import (
    advice_on,
    closes_chat,
    error_name,
    is_lost_login,
    is_stale_reference,
    refuses_chat,
)
from afx.telegram.sender import PARENT_GONE, SPLIT, Outcome, is_forward, send

if TYPE_CHECKING:
    from afx.telegram.client import AccountClient
    from afx.telegram.peers import Peers

BATCH = 50
"""Deliveries that are sent at once."""
_LEAST_PAUSE = 0.01
_MOST_FETCHES = 3
"""Times that one message is fetched anew before it counts as refused."""


class Pace(Protocol):
    """The lane that is sent: it knows when."""

    @property
    def may_send(self) -> bool:
        """Whether nothing holds up the next batch."""

    def pause(self) -> None:
        """Start no new batch: the session is ending here."""

    def wait(self, seconds: float) -> None:
        """Start no batch for a time."""

    def hold(self, seconds: float) -> None:
        """Wait for the rest of an album, unless something comes before."""

    def back_off(self, reason: TroubleReason | None = None, text: str = "") -> None:
        """Wait, longer each time; what keeps failing is reported."""

    def passed(self) -> None:
        """A delivery has left for good."""

    def close(self, reason: str) -> None:
        """The destination takes no messages."""


class LaneSender:
    """The sending part of one lane."""

    __slots__ = (
        "_client",
        "_fetches",
        "_intents",
        "_last_album",
        "_outbox",
        "_owner",
        "_pace",
        "_patience",
        "_peers",
        "_queue",
        "_vain",
    )

    def __init__(
        self,
        client: AccountClient,
        peers: Peers,
        intents: Intents,
        owner: LaneOwner,
        outbox: Outbox,
        queue: LaneQueue,
        pace: Pace,
    ) -> None:
        """Send the ``queue``, which is filled from the ``outbox`` when it is empty."""
        self._client = client
        self._peers = peers
        self._intents = intents
        self._owner = owner
        self._outbox = outbox
        self._queue = queue
        self._pace = pace
        self._patience = Patience()
        self._vain = VainTries()
        self._fetches = 0
        """How often the first message was fetched anew."""
        self._last_album: tuple[int, int, float] | None = None
        """Source and last item of an album that ends the outbox, and since when it does."""

    async def run(self) -> None:
        """Send until nothing is left, or something holds it up.

        Raises ConnectionError, and the error that says that the login is lost.
        """
        singly = self._vain.is_single
        while (self._queue or self._outbox) and self._pace.may_send:
            if not self._queue:
                if not await self._fill():
                    return
                continue
            batch, seconds = self._queue.next_batch(BATCH, asyncio.get_running_loop().time())
            if not batch:
                self._pace.hold(seconds)
                return
            batch = self._within_budget(batch)
            if not batch:
                return
            # From now on nothing comes between: what is settled leaves the queue in order.
            self._queue.begin(len(batch))
            if any(delivery.plugins or delivery.verdict for delivery, _ in batch):
                if batch[0][0].op != "send":
                    await self._owner.find_copies([delivery for delivery, _ in batch])
                batch, refused = await plugged(batch, self._owner.trouble)
                if refused:
                    await self._judge(batch, refused)
                    continue
            if any(delivery.answers for delivery, _ in batch):
                batch = await self._answering(batch)
            if not self._pace.may_send:
                return  # something has come up while it waited
            self._owner.waits.take(self._outbox.destination, len(batch))
            outcomes = await self._make([delivery for delivery, _ in batch], singly)
            if outcomes is None:
                return
            singly = await self._judge(batch, outcomes) or self._vain.is_single

    def _within_budget(self, batch: list[Entry]) -> list[Entry]:
        """Return the first of a batch, as many as may be sent now; waits when none may.

        An album is not split: it is sent when anything may be, and counts as all of its items.
        """
        waits, destination = self._owner.waits, self._outbox.destination
        room = waits.room(destination, len(batch))
        if room >= len(batch):
            return batch
        if not room:
            self._pace.wait(max(waits.held(destination), _LEAST_PAUSE))
            return []
        kept: list[Entry] = []
        for unit in units(batch, lambda it: it[0]):
            if kept and len(kept) + len(unit) > room:
                break
            kept += unit
        return kept

    async def _answering(self, batch: list[Entry]) -> list[Entry]:
        """Find what sends are to answer; returns those that can be sent before the others."""
        sends = [delivery for delivery, _ in batch]
        sends = sends[: before_answers(sends)]
        await self._owner.find_copies(sends)
        set_requests(sends)
        return batch[: len(sends)]

    async def _judge(self, batch: Sequence[Entry], outcomes: Sequence[Outcome]) -> bool:
        """Settle what can be; returns whether the rest is to be sent one by one."""
        destination = self._outbox.destination
        for index, ((delivery, _), outcome) in enumerate(zip(batch, outcomes, strict=True)):
            if outcome.result == "wait":
                self._owner.told_to_wait(destination, outcome)
                return False
            if outcome.result == "failed":
                self._note_vain(delivery, outcome.reason, any(it.album for it, _ in batch))
                return False
            if is_stale_reference(outcome.reason) and outcome.result == "again":
                await self._fetch_first(delivery, outcome.reason)
                return True
            if outcome.reason == PARENT_GONE:
                forget([it for (it, _), its in zip(batch, outcomes, strict=True) if its == outcome])
                return False
            if outcome.result == "again":
                if outcome.reason != SPLIT and index == 0:
                    # Nothing before it has failed: without a pause this would go on for ever.
                    self._note_vain(delivery, outcome.reason, any(it.album for it, _ in batch))
                return outcome.reason == SPLIT
            if outcome.result == "refused" and _closes_destination(delivery, outcome):
                await self._note_closed(delivery, outcome.reason)
                return False
            self.settle(outcome)
        return False

    async def _make(self, batch: Sequence[Delivery], singly: bool) -> list[Outcome] | None:
        """Send, or change, what is first; None when the session is ending here."""
        peer = self._peers.input_peer
        if batch[0].op != "send":
            await self._owner.find_copies(batch)
        elif not await self._owner.is_stored(batch):
            self._pace.pause()
            return None
        destination = batch[0].destination
        if is_output(destination):
            output = self._peers.output(destination)
            if output is None:  # such as a file, on a node that writes none
                self._pace.close("this node has no such output")
                return None
            return await output.send(batch)
        try:
            peer(destination)
        except ValueError:
            self._pace.close("the account does not know this chat any more")
            return None
        if batch[0].op != "send":
            return await send_changes(self._client, batch, peer, singly=singly)
        outcomes = await send(self._client, batch, peer, singly=singly)
        if all(it.result != "failed" for it in outcomes):  # what is not settled was not sent
            self._intents.end(destination)
        return outcomes

    async def _fill(self) -> bool:
        """Fetch the next messages of the outbox; False when they cannot be read now."""
        await asyncio.sleep(0)  # what needs no request must not hold up the other lanes
        references = self._outbox.first(self._patience.size)
        if not references:
            self._pace.back_off()
            return False
        try:
            found = await self._owner.contents(self._outbox.destination, references)
        except ToldToWaitError as error:
            self._pace.wait(error.seconds)
            return False
        except errors.RPCError as error:
            if is_lost_login(error):
                raise
            return self._note_unread(references, error_name(error))
        finally:
            self._outbox.reading = 0
        ready = list(takewhile(lambda it: not it[1] or it[1].result != "failed", found))
        if len(ready) == len(found) and not (ready := self._whole(ready)):
            return False
        if ready:
            self._patience.passed({it.source for it, _ in ready})
        else:
            step, ready = self._judge_unread(found)
            if not ready:
                return step == "narrow"
        for (delivery, outcome), ticket in zip(ready, self._outbox.begin(len(ready)), strict=True):
            if outcome is None:
                self._queue.append(delivery, ticket)
            else:
                self._owner.settled(delivery, ticket, outcome)
        return True

    def _whole(self, ready: Found) -> Found:
        """Return what is ready without an album at its end that may have more items.

        Nothing: such an album is all that there is, and is waited for.
        """
        *before, last = units(ready, lambda it: it[0])
        if not last[-1][0].album or len(last) >= MOST_IN_ALBUM:
            return ready
        if before:
            return ready[: -len(last)]
        it, now = last[-1][0], asyncio.get_running_loop().time()
        if self._outbox.count > len(ready):
            return ready  # what follows could not be read together with it
        if self._last_album is None or self._last_album[:2] != (it.source, it.message):
            self._last_album = it.source, it.message, now
        left = self._last_album[2] + ALBUM_SECONDS - now
        if left <= 0:
            return ready
        self._pace.hold(left)
        return []

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
            text = f"what waits of {first.source} cannot be read: {outcome.reason}"
            self._pace.back_off(TroubleReason.SOURCE_UNREADABLE, text)
            return step, []
        dead = replace(outcome, result="refused", attempts=self._patience.tries)
        self._patience.settled(first.source, is_read=False)
        self._pace.passed()
        given_up = takewhile(lambda it: it[0].source == first.source and it[1] == outcome, found)
        return step, [(delivery, dead) for delivery, _ in given_up]

    def _note_unread(self, references: Sequence[Reference], reason: str) -> bool:
        """Telegram errs on what waits; returns whether fewer are to be read at once, and now.

        What it errs on for ever becomes a dead letter, once it is read by itself.
        """
        first = references[0]
        if self._patience.narrow(len(references)):
            return True
        destination = self._outbox.destination
        key = (first.rule, first.source, first.message, f"read {first.op}")
        if self._vain.failed(key, _now(), has_album=False) == "later":
            text = f"what waits of {first.source} cannot be read: {reason}"
            self._pace.back_off(TroubleReason.SOURCE_UNREADABLE, text)
            return False
        dead = DeadReason.MESSAGE_UNREADABLE
        outcome = Outcome("refused", reason=reason, dead=dead, attempts=self._vain.tries)
        self._vain.passed()
        self._pace.passed()
        [ticket] = self._outbox.begin(1)
        self._owner.settled(first.delivery(destination), ticket, outcome)
        return True

    def settle(self, outcome: Outcome) -> None:
        """Take the first delivery out of the queue for good."""
        self._fetches = 0
        self._vain.passed()
        # Its ticket is the outbox's if it was parked while it was in flight.
        delivery, ticket = self._queue.pop()
        self._pace.passed()
        self._patience.settled(delivery.source, is_read=outcome.copy != 0)
        self._owner.settled(delivery, ticket, outcome)

    async def _fetch_first(self, delivery: Delivery, reason: str) -> None:
        """Fetch the first message anew, since its file has expired; refuse it if that is vain.

        Source: core.telegram.org/api/file-references.
        """
        if self._fetches >= _MOST_FETCHES:
            self.settle(Outcome("refused", reason=reason, attempts=self._fetches))
            return
        found = await self._read_first(delivery)
        if found is None:
            return
        self._fetches += 1
        if not found:
            self.settle(Outcome("refused", reason=reason, dead=DeadReason.MESSAGE_GONE))
        elif delivery.op == "edit":
            delivery.whole = found[0]
        elif delivery.raw is not None:
            delivery.raw = found[0]

    async def _note_closed(self, delivery: Delivery, reason: str) -> None:
        """Telegram refuses the chats of a send: wait, if it is the destination.

        A forward names its source as well, which may be the one that is closed.
        """
        if _closes_output(reason):
            self._pace.close(reason.removeprefix(CLOSED_OUTPUT))
        elif not is_forward(delivery) or await self._read_first(delivery) is not None:
            advice = advice_on(reason)
            self._pace.close(f"{reason}: {advice}" if advice else reason)

    async def _read_first(self, delivery: Delivery) -> Sequence[Any] | None:
        """Return the first message, nothing if it is gone; None when that cannot be told now.

        A source that cannot be read is tried again some times, and then it is given up.
        """
        try:
            return await self._owner.renew(delivery.source, delivery.message)
        except ToldToWaitError as error:
            self._pace.wait(error.seconds)
        except UnknownChatError as error:
            self._note_vain(delivery, str(error), bool(delivery.album))
        except errors.RPCError as error:
            if is_lost_login(error):
                raise
            if not refuses_chat(error):
                self._note_vain(delivery, error_name(error), bool(delivery.album))
                return None
            refused = refusal(error)
            assert refused.dead is not None
            if self._patience.refused(delivery.source, refused.dead, 1) == "give up":
                tries = self._patience.tries
                self.settle(replace(refused, result="refused", attempts=tries))
            else:
                self._note_failure(delivery, refused.reason)
        return None

    def _note_vain(self, delivery: Delivery, reason: str, has_album: bool) -> None:
        """Telegram errs on the first delivery: it is tried again, but not for ever."""
        key = (delivery.rule, delivery.source, delivery.message, delivery.op)
        is_of_output = is_output(self._outbox.destination)  # it closes if its receiver fails
        if is_of_output or self._vain.failed(key, _now(), has_album=has_album) == "later":
            self._note_failure(delivery, reason)
            return
        tries = self._vain.tries
        self.settle(Outcome("refused", reason=f"{reason}, {tries} times", attempts=tries))

    def _note_failure(self, delivery: Delivery, reason: str) -> None:
        text = f"sends to {delivery.destination} fail: {reason}"
        self._pace.back_off(TroubleReason.SEND_FAILED, text)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _closes_destination(delivery: Delivery, outcome: Outcome) -> bool:
    """Return whether a refusal says that the destination takes nothing for now.

    That of a change says it of changes only: who may post may not pin.
    """
    return _closes_output(outcome.reason) or (delivery.op == "send" and closes_chat(outcome.reason))


def _closes_output(reason: str) -> bool:
    return reason.startswith(CLOSED_OUTPUT)
