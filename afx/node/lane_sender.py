"""Sends what a lane holds, one batch after another, and tells its lane when it has to wait."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from telethon import errors

from afx.forwarding.outputs import CLOSED_OUTPUT, is_output
from afx.forwarding.pipeline import Delivery
from afx.forwarding.whole_albums import MOST_IN_ALBUM, is_same_album, units
from afx.node.intents import Intents
from afx.node.lane_owner import LaneOwner
from afx.node.lane_queue import Entry, LaneQueue
from afx.node.message_source import ToldToWaitError, UnknownChatError
from afx.node.outbox import AT_ONCE, Outbox
from afx.node.outbox_reader import refusal
from afx.node.pace import Pace
from afx.node.parents import before_answers, forget, set_requests
from afx.node.patience import Patience
from afx.node.plugged import plugged
from afx.node.plugin_files import PluginFiles
from afx.node.pool_stops import Stopped
from afx.node.queue_filler import QueueFiller
from afx.node.reuploads import Reuploads, is_gone, with_gone
from afx.node.topic_sync import TopicSync
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
from afx.telegram.sender import PARENT_GONE, PROTECTED, SPLIT, Outcome, is_forward, send

if TYPE_CHECKING:
    from afx.telegram.client import AccountClient
    from afx.telegram.peers import Peers

BATCH = AT_ONCE
"""Deliveries that are sent at once."""
_LEAST_PAUSE = 0.01
_SHORT_WAIT = 1.0
"""Seconds for which a change is waited for that nobody else can make."""
_MOST_FETCHES = 3
"""Times that one message is fetched anew before it counts as refused."""


class LaneSender:
    """The sending part of one lane."""

    __slots__ = (
        "_client",
        "_fetches",
        "_files",
        "_filler",
        "_intents",
        "_outbox",
        "_owner",
        "_pace",
        "_patience",
        "_peers",
        "_queue",
        "_reuploads",
        "_topics",
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
        self._vain = VainTries(owner.waits.stuck, outbox.destination)
        self._fetches = 0
        """How often the first message was fetched anew."""
        self._reuploads = Reuploads(owner, pace, peers)
        self._files = PluginFiles(owner, pace, self._read_first)
        self._topics = TopicSync(client, peers, intents, owner, pace)
        self._filler = QueueFiller(
            owner, outbox, queue, pace=pace, patience=self._patience, vain=self._vain
        )

    async def run(self) -> None:
        """Send until nothing is left, or something holds it up.

        Raises ConnectionError, and the error that says that the login is lost.
        """
        singly = self._vain.is_single
        while (self._queue or self._outbox) and self._pace.may_send:
            if not self._queue:
                if not await self._filler.fill():
                    return
                continue
            pools = self._owner.pools
            if pools.is_unchecked:
                await pools.check()
            version = pools.version
            batch, seconds = self._queue.next_batch(BATCH, asyncio.get_running_loop().time())
            if not batch:
                self._pace.hold(seconds)
                return
            of_pool, batch = pools.first_alike(batch)
            batch = batch if of_pool else self._within_budget(batch)
            if not batch:
                return
            # From now on nothing comes between: what is settled leaves the queue in order.
            self._queue.begin(len(batch))
            if any(delivery.plugins or delivery.verdict for delivery, _ in batch):
                if batch[0][0].op != "send":
                    await self._owner.find_copies([delivery for delivery, _ in batch])
                batch, refused = await plugged(batch, self._owner.trouble, self._files)
                if refused:
                    await self._judge(batch, refused)
                    continue
            if any(delivery.answers for delivery, _ in batch):
                batch = await self._answering(batch)
            batch = await self._prepared(batch)
            if not batch:
                continue
            if not self._pace.may_send:
                return  # something has come up while it waited
            if not of_pool:
                self._owner.waits.take(self._outbox.destination, len(batch))
            outcomes = await self._make([delivery for delivery, _ in batch], singly, version)
            if outcomes is None:
                return
            if isinstance(outcomes, Stopped):
                # Edits and deletes that one sender alone can make: others pass them.
                if not self._put_off(outcomes, batch):
                    self._pace.hold(outcomes.wait)
                    return
                continue
            singly = await self._judge(batch, outcomes, singly=singly) or self._vain.is_single

    def _within_budget(self, batch: list[Entry]) -> list[Entry]:
        """Return the first of a batch, as many as may be sent now; waits when none may.

        An album is not split: it is sent when anything may be, and counts as all of its items.
        """
        waits, destination = self._owner.waits, self._outbox.destination
        if destination in self._owner.pools.chats and (left := waits.left(destination)):
            if not self._owner.pools.give_up(batch[0][0]):
                self._pace.wait(left)
            return []
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

    async def _prepared(self, batch: Sequence[Entry]) -> list[Entry]:
        """Let topics be made, and files be uploaded, that a batch needs; returns its first part.

        None of it: something else has become of what is first, or it is to be tried again.
        """
        refused: list[Outcome] = []
        if any(it.topics for it, _ in batch):
            batch, refused = await self._topics.prepare(batch)
        if batch and not refused and any(it.reupload or it.made for it, _ in batch):
            batch, refused = await self._reuploads.prepare(batch, self._read_first)
        if refused:
            await self._judge(batch, refused)
        return [] if refused else list(batch)

    async def _answering(self, batch: list[Entry]) -> list[Entry]:
        """Find what sends are to answer; returns those that can be sent before the others."""
        sends = [delivery for delivery, _ in batch]
        sends = sends[: before_answers(sends)]
        await self._owner.find_copies(sends)
        set_requests(sends)
        return batch[: len(sends)]

    async def _judge(
        self, batch: Sequence[Entry], outcomes: Sequence[Outcome], *, singly: bool = False
    ) -> bool:
        """Settle what can be; returns whether the rest is to be sent one by one."""
        destination = self._outbox.destination
        for index, ((delivery, _), outcome) in enumerate(zip(batch, outcomes, strict=True)):
            if outcome.result == "wait":
                self._note_refused(batch, outcomes, index)
                self._owner.told_to_wait(destination, outcome)
                return False
            if outcome.result == "failed":
                self._note_vain(delivery, outcome.reason, any(it.album for it, _ in batch))
                return False
            if outcome.reason == PROTECTED and outcome.result == "again":
                self._reuploads.refused(delivery)
                return False
            if is_stale_reference(outcome.reason) and outcome.result == "again":
                if self._fetches < _MOST_FETCHES and self._reuploads.expired(
                    [it for it, _ in batch[index:]]
                ):
                    self._fetches += 1
                    return False
                album = _album_of(batch[index:])
                if len(album) > 1 and not singly and self._fetches < _MOST_FETCHES:
                    await self._fetch_album(album)
                    return False
                if len(album) > 1 and not singly:
                    self._fetches = 0  # of its first item alone
                    return True
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
                if self._owner.pools.give_up(delivery):
                    return False
                self._note_refused(batch, outcomes, index)
                await self._note_closed(delivery, outcome.reason)
                return False
            self.settle(outcome)
        return False

    def _note_refused(self, batch: Sequence[Entry], outcomes: Sequence[Outcome], at: int) -> None:
        """Know that what is left of a batch was not sent, if none of it was."""
        is_sure = all(it.result in ("wait", "again", "refused") for it in outcomes[at:])
        if is_sure and not self._owner.pools.has(batch[at][0]):
            self._queue.note_refused(len(batch) - at)

    async def _make(
        self, batch: Sequence[Delivery], singly: bool, version: int
    ) -> list[Outcome] | Stopped | None:
        """Send, or change, what is first; None when nothing can be done now.

        Stopped: the first change cannot be made now, and others may be.

        ``version`` is that of the pools by which it was chosen.
        """
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
        if self._owner.pools.version != version:
            return None  # a rule has got, or lost, senders
        if self._owner.pools.has(batch[0]):
            return await self._let_send(batch, singly)
        try:
            peer(destination)
        except ValueError:
            self._pace.close("the account does not know this chat any more")
            return None
        if batch[0].op != "send":
            return await send_changes(self._client, batch, peer, singly=singly)
        present = [it for it in batch if not is_gone(it)]
        outcomes = await send(self._client, present, peer, singly=singly) if present else []
        if len(present) < len(batch):
            outcomes = with_gone(batch, outcomes)
        if all(it.result != "failed" for it in outcomes):  # what is not settled was not sent
            self._intents.end(destination)
        return outcomes

    async def _let_send(
        self, batch: Sequence[Delivery], singly: bool
    ) -> list[Outcome] | Stopped | None:
        """Let a sender of the rule's pool make a batch; returns what ``_make`` does."""
        made = await self._owner.pools.send(batch, singly=singly)
        if isinstance(made, Stopped):
            if not any(map(self._owner.pools.is_in_doubt, self._queue.begun())):
                self._queue.note_refused(len(batch))
            if made.is_foreign:
                self._pace.pause()
            elif batch[0].op in ("edit", "delete") and made.wait > _SHORT_WAIT:
                return made
            else:
                self._pace.wait(made.wait)
            return None
        # What is tried again, be it behind these, may have been sent before.
        if not any(map(self._owner.pools.is_in_doubt, self._queue.begun())):
            self._intents.end(batch[0].destination)
        return made

    def _put_off(self, stopped: Stopped, batch: Sequence[Entry]) -> bool:
        """Make the first changes later, once their sender may; False where too many wait for that.

        Of what waits of its message only changes may pass one, and each makes the copy what its
        message is then.
        """
        for it, _ in batch[: stopped.count]:
            if it.op not in ("edit", "delete"):
                break
            if not self._owner.later.put_off(it, stopped.wait):
                return False
            _, ticket = self._queue.pop()
            self._owner.stored(ticket)
        return True

    def settle(self, outcome: Outcome) -> None:
        """Take the first delivery out of the queue for good."""
        self._fetches = 0
        self._vain.passed()
        # Its ticket is the outbox's if it was parked while it was in flight.
        delivery, ticket = self._queue.pop()
        if delivery.reupload or delivery.made:
            self._reuploads.left(delivery)
        self._pace.passed()
        self._patience.settled(delivery.source, is_read=outcome.copy != 0)
        self._owner.settled(delivery, ticket, outcome)

    async def _fetch_album(self, album: Sequence[Delivery]) -> None:
        """Fetch the items of an album anew, whose files have expired; some may be gone."""
        found = await self._read_first(*album)
        if found is None:
            return
        self._fetches += 1
        fresh = {it.id: it for it in found}
        for it in album:
            if it.raw is not None and it.message in fresh:
                it.raw = fresh[it.message]

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
        if reason.startswith(CLOSED_OUTPUT):
            self._pace.close(reason.removeprefix(CLOSED_OUTPUT))
        elif not is_forward(delivery) or await self._read_first(delivery) is not None:
            advice = advice_on(reason)
            self._pace.close(f"{reason}: {advice}" if advice else reason)

    async def _read_first(self, delivery: Delivery, *others: Delivery) -> Sequence[Any] | None:
        """Return the first message, nothing if it is gone; None when that cannot be told now.

        With it ``others`` of its source.

        A source that cannot be read is tried again some times, and then it is given up.
        """
        try:
            numbers = [it.message for it in (delivery, *others)]
            return await self._owner.read(delivery.source, numbers)
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


def _album_of(batch: Sequence[Entry]) -> list[Delivery]:
    """Return what is sent together with the first one: the items of its album."""
    first, _ = batch[0]
    same = takewhile(lambda it: it is first or is_same_album(it, first), (it for it, _ in batch))
    return list(same)[:MOST_IN_ALBUM]


def _now() -> float:
    return asyncio.get_running_loop().time()


def _closes_destination(delivery: Delivery, outcome: Outcome) -> bool:
    """Return whether a refusal says that the destination takes nothing for now.

    That of a change says it of changes only: who may post may not pin.
    """
    closes_output = outcome.reason.startswith(CLOSED_OUTPUT)
    return closes_output or (delivery.op == "send" and closes_chat(outcome.reason))
