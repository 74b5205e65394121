"""Forwards one session's messages: routes, lanes, links, and the loop guard."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from afx.cluster.links import CopyRoute
from afx.empty import NONE, NOTHING
from afx.forwarding.changes import Change
from afx.forwarding.pipeline import Delivery, Incoming, deliveries
from afx.forwarding.rules import Route, Routes, leading_to, loops
from afx.node import unforwarded
from afx.node.account_signs import account_trouble
from afx.node.admission import Admission, LinkSource
from afx.node.announced import Announced
from afx.node.change_follower import ChangeFollower, edit_again
from afx.node.dead_letters import DeadLetters
from afx.node.filter_judge import FilterJudge
from afx.node.forwarder_owner import ForwarderOwner
from afx.node.intents import Intents
from afx.node.lane import Lane
from afx.node.lanes import Lanes
from afx.node.loop_guard import LoopGuard
from afx.node.made_links import MadeLinks
from afx.node.message_source import MessageSource
from afx.node.outbox import Reference
from afx.node.outbox_reader import Found, Incomplete, fetch, not_judged
from afx.node.outboxes import Outboxes
from afx.node.pause import Pause
from afx.node.postponed import TOO_MANY, Postponed
from afx.node.progress import Link
from afx.node.retries import retried
from afx.node.rule_counts import RuleCounts
from afx.node.seen_contents import SeenContents
from afx.node.waits import ALL, Waits
from afx.reasons import DeadReason, TroubleReason
from afx.telegram.boxes import Box, Settling, Ticket
from afx.telegram.client import AccountClient
from afx.telegram.facts import TelegramFacts
from afx.telegram.peers import Peers
from afx.telegram.reading import Event
from afx.telegram.sender import Outcome


class Forwarder:
    """Takes a session's updates in order, and settles what they cause."""

    __slots__ = (
        "_admission",
        "_all_routes",
        "_announced",
        "_client",
        "_closed",
        "_counts",
        "_filters",
        "_follower",
        "_guard",
        "_incomplete",
        "_looping",
        "_owner",
        "_peers",
        "_routes",
        "_skipped",
        "_source",
        "dead",
        "intents",
        "lanes",
        "later",
        "links",
        "outboxes",
        "seen",
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
    ) -> None:
        """``now`` is the wall clock, for what is stored."""
        self._client = client
        self._counts = counts
        self._admission = Admission(links, session, self)
        self.intents = Intents(epoch, owner.store)
        self._peers = peers
        self._owner = owner
        self.lanes = Lanes()
        self._looping: frozenset[int] = NONE
        """Chats that are both source and destination."""
        self.outboxes = Outboxes()
        self.links = MadeLinks(monotonic)
        self.seen = SeenContents(now, counts.doubled)
        self.later = Postponed(
            now,
            lambda it: self._lane(it.destination).put_behind(it),
            owner.progressed,
            owner.capped,
        )
        self.dead = DeadLetters(monotonic)
        self._follower = ChangeFollower(self._admission, self.dead, self)
        self._routes: Routes = NOTHING
        self._all_routes: Routes = NOTHING
        self._incomplete: Incomplete = NOTHING
        self._closed: frozenset[int] = NONE
        """Destinations that took no messages when they were tried last."""
        self._skipped: Mapping[int, int] = NOTHING
        self._guard: LoopGuard | None = None
        self.waits = waits
        self._source = MessageSource(client, peers, waits, self.note_wait)
        self._filters = FilterJudge(self._source, self.trouble, monotonic)
        self._announced = Announced()

    def set_routes(
        self, routes: Routes, last_settled: Callable[[int], int], incomplete: Incomplete = NOTHING
    ) -> None:
        """Know all routes of the rules, used or not.

        ``last_settled`` gives a source's newest settled message; ``incomplete`` are the
        rules of which not all chats are known, with their transforms.
        """
        self.renew_routes(routes, incomplete)
        self._admission.set_routes(routes)
        before = self._guard
        self._looping = frozenset(loops(routes)) or NONE
        waiting = self.outboxes.waiting_for, self.later.waiting_for
        self._guard = LoopGuard(routes, last_settled, *waiting) if self._looping else None
        if before and self._guard:
            self._guard.learn_from(before)

    def renew_routes(self, routes: Routes, incomplete: Incomplete) -> None:
        """Know the routes with other filters and the like; the chats are the same."""
        self._all_routes, self._incomplete = routes, incomplete or NOTHING
        self.seen.use_routes(routes, incomplete)
        self.later.use_routes(routes, incomplete)

    def use_routes(self, routes: Routes) -> None:
        """Forward by these routes from now on."""
        self._routes = routes
        self._filters.use_routes(routes)

    def skip_until(self, chat: int, message: int) -> None:
        """Forward from a chat only what is newer than this message."""
        self._skipped = {**self._skipped, chat: message}

    def try_again(self, destination: int) -> None:
        """Send to a destination that has refused to take messages."""
        lane = self.lanes.get(destination)
        if lane is not None:
            lane.try_again()

    def note_guarded(self, chats: frozenset[int]) -> None:
        """Post to these channels, and read them, with care (see ``guarded_chats``)."""
        self.intents.guarded = chats
        self._admission.note_guarded(chats)

    # --- updates -------------------------------------------------------------------

    def take(self, box: Box, pts: int, event: Event, own: bool) -> None:
        """Take the next update of a box."""
        if not isinstance(event, Change):
            self._take_message(box, pts, event, own)
            return
        unforwarded.note_change(self.seen, self._all_routes, self.later, event)
        # A source that cannot be read just now has copies all the same.
        if not self._follower.follow({} if own else self._all_routes, box, pts, event).open:
            self._pass(box)

    def put(self, delivery: Delivery, ticket: Ticket) -> None:
        """Put a change of a copy behind what its lane holds."""
        if self.later.follow(delivery):
            self.stored(ticket)
        else:
            self._lane(delivery.destination).put(delivery, ticket)

    def _take_message(self, box: Box, pts: int, message: Incoming | None, own: bool) -> None:
        routes = self._routes.get(message.chat, ()) if message and not own else ()
        if message and routes and self._guard is not None and self._guard.is_copy(message):
            routes = ()
        if message and self._skipped and message.id <= self._skipped.get(message.chat, 0):
            routes = ()
        judged: Sequence[Route] | None = routes
        if message and routes:
            judged = self._filters.judge(message, routes)
            if judged is not None and len(judged) < len(routes):
                self._counts.skipped(routes, judged)
            if judged is not None and not judged:
                # Settled without a link. Its chat's newest id passes it too: another filter,
                # later, does not make it be forwarded.
                box.admit(pts, 0, message.chat, message.id)
                self._pass(box)
                return
        if not routes or message is None:
            box.admit(pts, 0)
            self._pass(box)
            return
        is_judged, wanted = judged is not None, routes if judged is None else judged
        ticket = box.admit(pts, len(wanted), message.chat, message.id)
        ticket.taken = self._counts.now()
        self._admission.offer(message, wanted, ticket, is_judged=is_judged)

    def _pass(self, box: Settling) -> None:
        """Move past what is settled, and let that be stored."""
        if box.advance():
            self._owner.progressed()

    def made(
        self, wanted: Collection[tuple[CopyRoute, int]]
    ) -> Mapping[tuple[CopyRoute, int], int]:
        """Return those of some copies that were made lately, by route and source message."""
        return self.links.copies_of(wanted)

    async def judge(self, message: Incoming, routes: Sequence[Route]) -> Sequence[Route]:
        """Return the routes whose filters take a message, once they can be asked."""
        taken = await self._filters.judge_later(message, routes)
        if len(taken) < len(routes):
            self._counts.skipped(routes, taken)
        return taken

    async def _judge_late(self, message: Incoming, routes: Sequence[Route]) -> Sequence[Route]:
        """Judge what was not judged before, or is tried again: it may be a duplicate by now."""
        return self.seen.fresh(message, await self.judge(message, routes))

    def deliver(self, message: Incoming, routes: Sequence[Route], ticket: Ticket) -> None:
        """Put a message's deliveries into their lanes."""
        fresh = self.seen.fresh(message, routes)
        for _ in range(len(routes) - len(fresh)):
            self.left_out(ticket)
        for delivery in deliveries(message, fresh, TelegramFacts):
            if delivery.error:
                self.settled(delivery, ticket, Outcome("refused", reason=delivery.error))
            elif delivery.unjudged:
                self.settled(delivery, ticket, not_judged(delivery.unjudged))
            elif (when := self.later.offer(delivery, message)) == "now":
                self._lane(delivery.destination).put(delivery, ticket)
            elif when == "later":
                self.stored(ticket)
            else:
                self.settled(delivery, ticket, TOO_MANY)

    def known(self, route: Route, copy: int, ticket: Ticket) -> None:
        """Settle a delivery whose copy is linked already."""
        if self._guard is not None:
            self._guard.note_copy(route.destination, copy)
        source = Reference(route.rule, route.mode, ticket.chat, ticket.message)
        self._delete_later(source.delivery(route.destination))
        self.left_out(ticket)

    def left_out(self, ticket: Ticket) -> None:
        """Settle a delivery that is not to be made."""
        ticket.open -= 1
        self._pass(ticket.box)

    def note_own(self, message: Incoming) -> None:
        """Learn of a message that this session has just sent; its lane settles it later."""
        if self._guard is not None:
            self._guard.note_copy(message.chat, message.id)

    def announce(self, random_id: int, message_id: int) -> None:
        """Learn which message a send has made whose answer may have been lost."""
        self._announced.note(random_id, message_id)
        if self._guard is not None:
            self._guard.announce(random_id, message_id)

    def make_room(self) -> None:
        """Send again: the announced sends are known by now, or the memory is full."""
        self.lanes.resume(Pause.CONNECTION)
        self.later.start()
        for destination in list(self.outboxes.filled()):
            if destination not in self.lanes:
                self._lane(destination).start()  # it was left by an earlier run

    # --- lanes ---------------------------------------------------------------------

    async def drain(self) -> None:
        """Start no new sends, and wait a short time for those in flight."""
        self.later.end()
        await self._admission.stop()
        await self.lanes.drain()

    def _lane(self, destination: int) -> Lane:
        lane = self.lanes.get(destination)
        if lane is None:
            lane = self.lanes[destination] = Lane(
                self._client,
                self._peers,
                self.intents,
                self,
                self.outboxes.of(destination),
                # The guard finds lost answers among what the cursor has not passed.
                may_park=destination not in self._looping,
            )
            if left := self.waits.left(destination):
                lane.wait(left)
            if self.lanes.pauses:
                lane.pause()
        return lane

    # --- what lanes report -------------------------------------------------------------

    async def is_stored(self, batch: Sequence[Delivery]) -> bool:
        """Store what has to be stored before some sends; False: another node has the session."""
        rules, parts = {it.rule for it in batch}, (self.seen, self.later.gate.counts)
        if any(it.is_unstored(rules) for it in parts) and not await self._owner.store():
            return False
        return await self.intents.store(batch[0].destination)

    async def find_copies(self, batch: Sequence[Delivery]) -> None:
        """Tell changes which copies they are of, and sends which ones they answer."""
        await self._follower.find_copies(batch)

    def settled(self, delivery: Delivery, ticket: Ticket, outcome: Outcome) -> None:
        """A delivery was sent, was known to be sent, or was refused."""
        if delivery.op != "send":
            self._follower.settle(delivery, ticket, outcome)
            return
        self.later.gate.counts.settled(delivery.rule, delivery.destination)
        copy = outcome.copy
        unforwarded.note_settled(self.seen, self._all_routes, delivery, outcome)
        if outcome.result == "known":
            copy = copy or self._announced.pop(delivery.random_id)
        if outcome.result == "refused":
            self._owner.trouble(
                TroubleReason.MESSAGE_REFUSED,
                f"message {delivery.message} of {delivery.source} was refused by "
                f"{delivery.destination}: {outcome.reason}",
            )
            reason = outcome.dead or DeadReason.MESSAGE_REFUSED
            self.dead.add(delivery, reason, outcome.reason, outcome.attempts)
        elif copy:
            self.links.add(Link(delivery, copy))
            self._check_links()
            self._delete_later(delivery)
            if self._guard is not None:
                self._guard.note_copy(delivery.destination, copy)
        if outcome.result == "sent":
            self._owner.forwarded()
            self._counts.forwarded(delivery, ticket.taken, self.later.options_of(delivery.rule))
            if delivery.destination in self._closed:
                self._closed -= {delivery.destination}
                self._owner.destination_works(delivery.destination)
        if outcome.is_earlier and (edit := edit_again(self._all_routes, delivery)):
            self._lane(delivery.destination).put_behind(edit)
        self.stored(ticket)

    def _delete_later(self, sent: Delivery) -> None:
        """Let a copy be deleted later, if its rule says so."""
        if not self.later.delete_later(sent):
            change = replace(sent, op="delete")
            self.dead.add(change, DeadReason.DELETE_REFUSED, TOO_MANY.reason)

    def stored(self, ticket: Ticket) -> None:
        """A delivery is in an outbox: its message need not wait for it."""
        ticket.open -= 1
        ticket.box.advance()
        self._owner.progressed()

    async def contents(self, destination: int, references: Sequence[Reference]) -> Found:
        """Return the deliveries of an outbox's references; an outcome if not to be sent."""
        return await fetch(
            *(self._source.fetch, self._all_routes, self._incomplete, self._admission.linked),
            *(self._judge_late, destination, references),
        )

    async def renew(self, source: int, message: int) -> Sequence[Any]:
        """Read a message anew, and with it its file's reference; nothing when it is gone."""
        return await self._source.fetch(source, [message])

    def destination_closed(self, destination: int, reason: str) -> None:
        """A destination takes no messages; its lane waits until ``try_again``."""
        self._closed |= {destination}
        self._owner.destination_closed(destination, reason)

    def lost(self, error: BaseException) -> None:
        """A lane has lost the connection, or the login."""
        self._owner.lost(error)

    def told_to_wait(self, destination: int, outcome: Outcome) -> None:
        """Telegram wants no sends to a destination, or to any."""
        chat = ALL if outcome.whole_account else destination
        self._counts.waited(leading_to(self._routes, chat), outcome.seconds)
        self.note_wait(chat, outcome.seconds, outcome.reason)

    def note_wait(self, key: int | str, seconds: float, reason: str) -> None:
        """Note a wait of a lane or a task (see ``Waits.note``); one for all is reported once."""
        was_waiting = self.waits.left(ALL) > 0
        self._owner.progressed()
        is_for_all = self.waits.note(key, seconds, reason)
        self.lanes.wait(key, seconds, is_for_all=is_for_all)
        if is_for_all and not was_waiting:
            text = f"Telegram takes no sends of this account for now: {reason}"
            self._owner.trouble(account_trouble(reason), text)

    def trouble(self, reason: TroubleReason, text: str) -> None:
        """Something of it is hindered."""
        self._owner.trouble(reason, text)

    # --- outboxes ---------------------------------------------------------------------

    def has_backlog(self) -> bool:
        """Return whether anything waits: for an open destination, or for its time, soon."""
        return self.later.is_due_soon() or self.outboxes.has_backlog(self._closed)

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
            self._lane(destination).put_behind(it)
            self.dead.revive(it)
            self.later.gate.counts.revived(it)
        self._owner.progressed()

    # --- links ------------------------------------------------------------------------

    def put_back(self, links: Iterable[Link]) -> None:
        """Take back what could not be committed: links, and changes of outboxes."""
        for it in (self.outboxes, self.seen, self.later, self.dead):
            it.put_back()
        self.links.put_back(links)
        self._check_links()

    def note_committed(self) -> None:
        """What was taken is stored: go on sending if too much of it had waited."""
        for it in (self.seen, self.later.gate.counts, self.dead, self.links):
            it.note_committed()
        self.lanes.resume(Pause.STORAGE)

    def _check_links(self) -> None:
        if self.links.is_full and Pause.STORAGE not in self.lanes.pauses:
            self.lanes.pause(Pause.STORAGE)
            text = f"{len(self.links)} links wait to be stored"
            self._owner.trouble(TroubleReason.STORAGE_FULL, text)
