"""Forwards one session's messages: routes, lanes, links, and the loop guard."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from afx.cluster.links import CopyRoute
from afx.empty import NOTHING
from afx.forwarding.changes import Change
from afx.forwarding.pipeline import Delivery, Incoming, deliveries
from afx.forwarding.rules import Route, Routes, leading_to
from afx.node import unforwarded
from afx.node.admission import Admission, LinkSource, Made
from afx.node.alerts import Alerts
from afx.node.backfill_reader import BackfillReader
from afx.node.change_follower import ChangeFollower
from afx.node.dead_letters import DeadLetters
from afx.node.digests import Digests
from afx.node.filter_judge import FilterJudge
from afx.node.forwarder_owner import ForwarderOwner
from afx.node.held import REREAD
from afx.node.held_messages import HeldMessages
from afx.node.held_reports import Approved
from afx.node.intake import Intake
from afx.node.intents import Intents
from afx.node.lane import Lane
from afx.node.lanes import Lanes
from afx.node.loops import Loops
from afx.node.made_links import MadeLinks
from afx.node.message_source import MessageSource
from afx.node.noted_waits import note_wait
from afx.node.outbox_reader import Found, Incomplete, fetch, not_judged
from afx.node.outboxes import Outboxes
from afx.node.pause import Pause
from afx.node.pool_desk import PoolDesk
from afx.node.pools import Pools
from afx.node.postponed import TOO_MANY, Postponed
from afx.node.progress import Link
from afx.node.references import Reference
from afx.node.retries import retried
from afx.node.rule_counts import RuleCounts
from afx.node.sealer import Sealer
from afx.node.seen_contents import SeenContents
from afx.node.settler import Settler
from afx.node.snapshots import Snapshots, keeps_content
from afx.node.topic_links import TopicLinks
from afx.node.waits import ALL, Waits
from afx.reasons import DeadReason, TroubleReason
from afx.telegram.boxes import Box, Ticket
from afx.telegram.client import AccountClient
from afx.telegram.facts import TelegramFacts
from afx.telegram.peers import Peers
from afx.telegram.reading import Event
from afx.telegram.sender import Outcome
from afx.telegram.transfers import Parts, Transfers


class Forwarder:
    """Takes a session's updates in order, and settles what they cause."""

    __slots__ = (
        "_all_routes",
        "_client",
        "_counts",
        "_filters",
        "_follower",
        "_incomplete",
        "_intake",
        "_loops",
        "_owner",
        "_peers",
        "_settler",
        "_source",
        "admission",
        "alerts",
        "backfiller",
        "dead",
        "digests",
        "held",
        "intents",
        "lanes",
        "later",
        "links",
        "outboxes",
        "pools",
        "seen",
        "snapshots",
        "topics",
        "transfers",
        "waits",
    )

    def __init__(
        self,
        client: AccountClient,
        peers: Peers,
        links: LinkSource,
        owner: ForwarderOwner,
        *,
        session: int,
        epoch: int,
        waits: Waits,
        now: Callable[[], float],
        monotonic: Callable[[], float],
        counts: RuleCounts,
        pools: PoolDesk | None = None,
        sealer: Sealer | None = None,
        parts: Parts | None = None,
    ) -> None:
        """``now`` is the wall clock, for what is stored; ``sealer`` encrypts contents."""
        self._client = client
        self._counts = counts
        self.admission = Admission(links, session, self)
        self.intents = Intents(epoch, owner.store)
        self._peers = peers
        self._owner = owner
        self.pools = Pools(pools, session, epoch, owner.senders_hindered)
        self.lanes = Lanes(self.pools)
        self._loops = Loops()
        self.outboxes = Outboxes()
        self.links = MadeLinks(monotonic)
        self.seen = SeenContents(now, counts.doubled)
        left = partial(self.lanes.sends, self.outboxes)
        self.later = Postponed(now, self._put_behind, owner.progressed, owner.capped, left)
        self.dead = DeadLetters(monotonic)
        self.held = HeldMessages(self, sealer, now, monotonic)
        self.snapshots = Snapshots(session, sealer, owner)
        self._all_routes, self._incomplete = NOTHING, NOTHING
        self.waits = waits
        self.transfers = Transfers(client, waits, self.note_wait, parts)
        self._source = MessageSource(client, peers, waits, self.note_wait)
        self.backfiller = BackfillReader(
            self.later, self.outboxes, self._source, self.admission, owner, self._lane, monotonic
        )
        self._filters = filters = FilterJudge(self._source, self.trouble, monotonic)
        self.alerts = Alerts(now, owner.progressed)
        self._intake = Intake(
            owner.progressed, self.admission, filters, self._loops, counts, self.alerts
        )
        self.digests = Digests(self.later.options_of, self._source.names)
        self._follower = ChangeFollower(self.admission, self.dead, self.digests.digested, self)
        self._settler = Settler(
            *(owner, self._follower, self.lanes),
            digests=self.digests,
            dead=self.dead,
            links=self.links,
            seen=self.seen,
            later=self.later,
            loops=self._loops,
            counts=counts,
            snapshots=self.snapshots,
            put_behind=self._put_behind,
        )
        self.topics = TopicLinks(self.admission, self._settler.link)

    def set_routes(
        self, routes: Routes, last_settled: Callable[[int], int], incomplete: Incomplete = NOTHING
    ) -> None:
        """Know all routes of the rules, used or not.

        ``last_settled`` gives a source's newest settled message; ``incomplete`` are the
        rules of which not all chats are known, with their transforms.
        """
        self.renew_routes(routes, incomplete)
        self.admission.set_routes(routes)
        waiting = self.outboxes.waiting_for, self.later.waiting_for
        self._loops.set_routes(routes, last_settled, *waiting)

    def renew_routes(self, routes: Routes, incomplete: Incomplete) -> None:
        """Know the routes with other filters and the like; the chats are the same."""
        self._all_routes, self._incomplete = routes, incomplete or NOTHING
        for it in (self._settler, self.held, self.alerts):
            it.use_routes(routes)
        for part in (self.seen, self.later, self.backfiller):
            part.use_routes(routes, incomplete)
        self.pools.use_routes(routes, incomplete, self.lanes.begun())

    def use_routes(self, routes: Routes) -> None:
        """Forward by these routes from now on."""
        self._intake.use_routes(routes)

    def skip_until(self, chat: int, message: int) -> None:
        """Forward from a chat only what is newer than this message."""
        self._intake.skip_until(chat, message)

    def try_again(self, destination: int) -> None:
        """Send to a destination that has refused to take messages."""
        if (lane := self.lanes.get(destination)) is not None:
            lane.try_again()

    def note_guarded(self, chats: frozenset[int]) -> None:
        """Post to these channels, and read them, with care (see ``guarded_chats``)."""
        self.intents.guarded = chats
        self.admission.note_guarded(chats)

    # --- updates -------------------------------------------------------------------

    def take(self, box: Box, pts: int, event: Event, own: bool) -> None:
        """Take the next update of a box."""
        if not isinstance(event, Change):
            self._intake.take(box, pts, event, own)
            return
        unforwarded.note_change(self.seen, self._all_routes, self.later, self.outboxes, event)
        self.digests.note_change(self._all_routes, event)
        self.held.note_change({} if own else self._all_routes, event)
        # A source that cannot be read just now has copies all the same.
        if not self._follower.follow({} if own else self._all_routes, box, pts, event).open:
            self._intake.advance(box)

    def put(self, delivery: Delivery, ticket: Ticket) -> None:
        """Put a change of a copy behind what its lane holds."""
        if self.later.follow(delivery):
            self.stored(ticket)
        else:
            self._lane(delivery.destination).put(delivery, ticket)

    def made(self, wanted: Collection[tuple[CopyRoute, int]]) -> Made:
        """Return those of some copies that were made lately, by route and source message."""
        return self.links.copies_of(wanted)

    async def judge(self, message: Incoming, routes: Sequence[Route]) -> Sequence[Route]:
        """Return the routes whose filters take a message, once they can be asked."""
        return await self._intake.judge(message, routes)

    async def _judge_late(self, message: Incoming, routes: Sequence[Route]) -> Sequence[Route]:
        """Judge what was not judged before, or is tried again: it may be a duplicate by now."""
        return self.seen.fresh(message, await self.judge(message, routes))

    def deliver(self, message: Incoming, routes: Sequence[Route], ticket: Ticket) -> None:
        """Put a message's deliveries into their lanes."""
        fresh = self.seen.fresh(message, routes)
        for _ in range(len(routes) - len(fresh)):
            self.left_out(ticket)
        made = deliveries(message, fresh, TelegramFacts)
        for route, delivery in zip(fresh, made, strict=True):
            if delivery.error:
                self.settled(delivery, ticket, Outcome("refused", reason=delivery.error))
            elif delivery.unjudged and delivery.unjudged is not REREAD:
                self.settled(delivery, ticket, not_judged(delivery.unjudged))
            elif self.outboxes.contains(delivery):
                self.later.backfills.claim(delivery, self.outboxes)
                self.stored(ticket)  # it is replayed
            elif self.held.takes(delivery, message):
                self.stored(ticket)
            else:
                self._put_new(route, delivery, message, ticket)

    def _put_new(self, route: Route, delivery: Delivery, message: Incoming, ticket: Ticket) -> None:
        """Put a delivery into its lane, now or when it is due."""
        if is_kept := keeps_content(route):
            self.snapshots.keep(message, delivery)
        when = self.later.offer(delivery, message)
        if when == "full":
            self.settled(delivery, ticket, TOO_MANY)
        elif when == "now" and not is_kept and not delivery.unjudged:
            self._lane(delivery.destination).put(delivery, ticket)
        else:
            if when == "now":
                self._put_behind(delivery)
            self.stored(ticket)

    def known(self, route: Route, copy: int, ticket: Ticket) -> None:
        """Settle a delivery whose copy is linked already."""
        self._loops.note_copy(route.destination, copy)
        source = Reference(route.rule, route.mode, ticket.chat, ticket.message)
        self._settler.delete_later(source.delivery(route.destination))
        self.left_out(ticket)

    def left_out(self, ticket: Ticket) -> None:
        """Settle a delivery that is not to be made."""
        ticket.open -= 1
        self._intake.advance(ticket.box)

    def note_own(self, message: Incoming) -> None:
        """Learn of a message that this session has just sent; its lane settles it later."""
        self._loops.note_copy(message.chat, message.id)

    def announce(self, random_id: int, message_id: int) -> None:
        """Learn which message a send has made whose answer may have been lost."""
        self._settler.announced.note(random_id, message_id)
        self._loops.announce(random_id, message_id)

    def make_room(self) -> None:
        """Send again: the announced sends are known by now, or the memory is full."""
        self.lanes.resume(Pause.CONNECTION)
        self.later.start()
        self.backfiller.start()
        for destination in list(self.outboxes.filled()):
            if destination not in self.lanes:
                self._lane(destination).start()  # it was left by an earlier run

    # --- lanes ---------------------------------------------------------------------

    async def drain(self) -> None:
        """Start no new sends, and wait a short time for those in flight."""
        self.later.end()
        await self.backfiller.stop()
        await self.admission.stop()
        await self.lanes.drain()
        await self.transfers.stop()

    def _put_behind(self, delivery: Delivery) -> bool:
        if delivery.op == "send" and self.later.collects(delivery):
            delivery.part = "entry"
        self.later.backfills.claim(delivery, self.outboxes)
        return self._lane(delivery.destination).put_behind(delivery)

    def _lane(self, destination: int) -> Lane:
        if (lane := self.lanes.get(destination)) is None:
            lane = self.lanes[destination] = Lane(
                self._client,
                self._peers,
                self.intents,
                self,
                self.outboxes.of(destination),
                # The guard finds lost answers among what the cursor has not passed.
                may_park=destination not in self._loops.chats,
            )
            if destination not in self.pools.chats and (left := self.waits.left(destination)):
                lane.wait(left)
            if self.lanes.pauses:
                lane.pause()
        return lane

    # --- what lanes report -------------------------------------------------------------

    async def is_stored(self, batch: Sequence[Delivery]) -> bool:
        """Store what has to be stored before some sends; False: another node has the session."""
        rules, its = {it.rule for it in batch}, (self.seen, self.later.gate.counts, self.pools.own)
        if any(it.parts for it in batch) or any(it.is_unstored(rules) for it in its):
            if not await self._owner.store():
                return False
        return await self.intents.store(batch[0].destination)

    async def find_copies(self, batch: Sequence[Delivery]) -> None:
        """Tell changes which copies they are of, and sends which ones they answer."""
        await self._follower.find_copies(batch)

    def settled(self, delivery: Delivery, ticket: Ticket, outcome: Outcome) -> None:
        """A delivery was sent, was known to be sent, or was refused."""
        self._settler.settle(delivery, ticket, outcome)

    def stored(self, ticket: Ticket) -> None:
        """A delivery is in an outbox: its message need not wait for it."""
        self._settler.stored(ticket)

    async def contents(self, destination: int, references: Sequence[Reference]) -> Found:
        """Return the deliveries of an outbox's references; an outcome if not to be sent."""
        self._filters.forget_albums({it.source for it in references if it.judge})
        found = await fetch(
            *(self._source.fetch, self._all_routes, self._incomplete, self.admission.linked),
            *(self._judge_late, self.snapshots.find, destination, references),
        )
        return self.digests.laid_out(found, references, self.outboxes.of(destination))

    def destination_closed(self, destination: int, reason: str) -> None:
        """A destination takes no messages; its lane waits until ``try_again``."""
        self._settler.destination_closed(destination, reason)

    def hindered(self, destination: int, text: str) -> None:
        """What is sent to a destination keeps failing, and why; "" when it does not any more."""
        self._owner.hindered(destination, text)
        self._owner.progressed()  # since when is stored

    def lost(self, error: BaseException) -> None:
        """A lane has lost the connection, or the login."""
        self._owner.lost(error)

    def told_to_wait(self, destination: int, outcome: Outcome) -> None:
        """Telegram wants no sends to a destination, or to any."""
        chat = ALL if outcome.whole_account else destination
        self._counts.waited(leading_to(self._intake.routes, chat), outcome.seconds)
        self.note_wait(chat, outcome.seconds, outcome.reason)

    def note_wait(self, key: int | str, seconds: float, reason: str) -> None:
        """Note a wait of a lane or a task (see ``Waits.note``); one for all is reported once."""
        note_wait(self.waits, self.lanes, self._owner, key, seconds, reason)

    def trouble(self, reason: TroubleReason, text: str) -> None:
        """Something of it is hindered."""
        self._owner.trouble(reason, text)

    # --- outboxes ---------------------------------------------------------------------

    def has_backlog(self) -> bool:
        """Return whether anything waits: for an open destination, or for its time, soon."""
        return self.later.is_due_soon() or self.outboxes.has_backlog(self._settler.closed)

    def revive(
        self,
        rule: int,
        source: int,
        destination: int,
        messages: Iterable[int],
        *,
        reason: DeadReason | None = None,
    ) -> None:
        """Put dead letters of a route behind what waits for its destination.

        ``reason`` is why they are ones, where that tells what is to be done.
        """
        for it in retried(self._all_routes, rule, source, destination, messages, reason):
            if self._put_behind(it):
                self.later.gate.counts.revived(it)
            self.dead.revive(it)
        self._owner.progressed()

    async def approve(
        self, rule: int, source: int, destination: int, versions: Mapping[int, int]
    ) -> Approved:
        """Send approved messages of a route (see ``HeldMessages.approve``)."""
        known = self._all_routes, self._incomplete
        return await self.held.approve(*known, rule, source, destination, versions)

    async def read(self, chat: int, ids: Sequence[int]) -> list[Any]:
        """Return the messages of a chat that still exist (see ``MessageSource.fetch``)."""
        return await self._source.fetch(chat, ids)

    def progressed(self) -> None:
        """There is something to commit."""
        self._owner.progressed()

    def put_approved(self, delivery: Delivery, message: Incoming) -> bool:
        """Put an approved message behind all others; False where too many wait."""
        if self.outboxes.contains(delivery):
            self.later.backfills.claim(delivery, self.outboxes)
            return True
        if (when := self.later.offer(delivery, message)) == "now":
            self._put_behind(delivery)
        return when != "full"

    # --- links ------------------------------------------------------------------------

    def put_back(self, links: Iterable[Link]) -> None:
        """Take back what could not be committed: links, and changes of outboxes."""
        stored = self.outboxes, self.seen, self.later, self.snapshots
        others = self.digests.digested, self.pools.own
        for it in (*stored, *others, self.dead, self.held, self.alerts):
            it.put_back()
        self.links.put_back(links)
        self._settler.check_links()

    def note_committed(self) -> None:
        """What was taken is stored: go on sending if too much of it had waited."""
        reported = self.dead, self.held, self.alerts, self.links
        for it in (self.seen, self.later.gate.counts, *reported):
            it.note_committed()
        self.lanes.resume(Pause.STORAGE)
