"""What follows when a delivery of one session has left its lane: link, report, dead letter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from afx.empty import NONE, NOTHING
from afx.forwarding.pipeline import Delivery
from afx.forwarding.rules import Routes
from afx.node import unforwarded
from afx.node.announced import Announced
from afx.node.change_follower import ChangeFollower, edit_again
from afx.node.dead_letters import DeadLetters
from afx.node.digests import Digests
from afx.node.forwarder_owner import ForwarderOwner
from afx.node.lanes import Lanes
from afx.node.loops import Loops
from afx.node.made_links import MadeLinks
from afx.node.outbox_reader import LEFT_OUT
from afx.node.pause import Pause
from afx.node.postponed import TOO_MANY, Postponed
from afx.node.progress import Link
from afx.node.rule_counts import RuleCounts
from afx.node.seen_contents import SeenContents
from afx.node.snapshots import Snapshots
from afx.reasons import DeadReason, TroubleReason
from afx.telegram.boxes import Ticket
from afx.telegram.sender import Outcome


class Settler:
    """Settles the deliveries of one session."""

    __slots__ = (
        "_counts",
        "_dead",
        "_digests",
        "_follower",
        "_lanes",
        "_later",
        "_links",
        "_loops",
        "_owner",
        "_put_behind",
        "_routes",
        "_seen",
        "_snapshots",
        "announced",
        "closed",
    )

    def __init__(
        self,
        owner: ForwarderOwner,
        follower: ChangeFollower,
        lanes: Lanes,
        *,
        dead: DeadLetters,
        digests: Digests,
        links: MadeLinks,
        seen: SeenContents,
        later: Postponed,
        loops: Loops,
        counts: RuleCounts,
        snapshots: Snapshots,
        put_behind: Callable[[Delivery], bool],
    ) -> None:
        """``put_behind`` puts a delivery behind all others of its lane."""
        self._owner = owner
        self._follower = follower
        self._lanes = lanes
        self._dead = dead
        self._digests = digests
        self._links = links
        self._seen = seen
        self._later = later
        self._loops = loops
        self._counts = counts
        self._snapshots = snapshots
        self._put_behind = put_behind
        self._routes: Routes = NOTHING
        self.announced = Announced()
        self.closed: frozenset[int] = NONE
        """Destinations that took no messages when they were tried last."""

    def use_routes(self, routes: Routes) -> None:
        """Know all routes of the rules, used or not."""
        self._routes = routes

    def settle(self, delivery: Delivery, ticket: Ticket, outcome: Outcome) -> None:
        """A delivery was sent, was known to be sent, or was refused."""
        if delivery.op != "send":
            self._follower.settle(delivery, ticket, outcome)
            return
        # A digest is settled as all of its entries are.
        entries = delivery.parts or (delivery,)
        if delivery.parts:
            self._digests.settled(delivery)
        for it in entries:
            self._snapshots.settled(it)
        is_left_out = outcome in LEFT_OUT
        if outcome.result == "refused" and (made := self.announced.pop(delivery.random_id)):
            # An earlier call has made it, whose answer was an error of the server, or lost.
            outcome = Outcome("known", made, is_earlier=True)
        copy = outcome.copy
        for it in entries:
            unforwarded.note_settled(self._seen, self._routes, it, outcome)
        if outcome.result == "known":
            copy = copy or self.announced.pop(delivery.random_id)
        if outcome.result == "refused":
            self._owner.trouble(
                TroubleReason.MESSAGE_REFUSED,
                f"message {delivery.message} of {delivery.source} was refused by "
                f"{delivery.destination}: {outcome.reason}",
            )
            reason = outcome.dead or DeadReason.MESSAGE_REFUSED
            for it in entries:
                self._dead.add(it, reason, outcome.reason, outcome.attempts)
        elif copy:
            for it in entries:
                self._links.add(Link(it, copy))
                if it.part:
                    self._digests.digested.note(it)
            self.check_links()
            self.delete_later(delivery)
            self._loops.note_copy(delivery.destination, copy)
        if outcome.result == "sent":
            self._owner.forwarded()
            for it in entries:
                self._counts.forwarded(it, ticket.taken, self._later.options_of(it.rule))
            if delivery.destination in self.closed:
                self.closed -= {delivery.destination}
                self._owner.destination_works(delivery.destination)
        if (
            outcome.is_earlier
            and not delivery.part
            and (edit := edit_again(self._routes, delivery))
        ):
            self._put_behind(edit)
        self.stored(ticket)
        # Not before: until then it is among what its lane has still to send.
        for it in entries:
            self._later.settled(it, outcome, is_left_out=is_left_out)
        for it, its_outcome in delivery.beside:
            self.settle(it, replace(ticket, open=1), its_outcome)

    def link(self, made: Delivery, copy: int) -> None:
        """Something was made that is no message, and is found as a copy is: a topic."""
        self._links.add(Link(made, copy))
        self.check_links()
        self._loops.note_copy(made.destination, copy)
        self._owner.progressed()

    def stored(self, ticket: Ticket) -> None:
        """A delivery is settled, or in an outbox: its message need not wait for it."""
        ticket.open -= 1
        ticket.box.advance()
        self._owner.progressed()

    def delete_later(self, sent: Delivery) -> None:
        """Let a copy be deleted later, if its rule says so."""
        if not self._later.delete_later(sent):
            change = replace(sent, op="delete")
            self._dead.add(change, DeadReason.DELETE_REFUSED, TOO_MANY.reason)

    def destination_closed(self, destination: int, reason: str) -> None:
        """A destination takes no messages; its lane waits until it is tried again."""
        self.closed |= {destination}
        self._owner.destination_closed(destination, reason)

    def check_links(self) -> None:
        """Send nothing while too many links wait to be stored."""
        if self._links.is_full and Pause.STORAGE not in self._lanes.pauses:
            self._lanes.pause(Pause.STORAGE)
            text = f"{len(self._links)} links wait to be stored"
            self._owner.trouble(TroubleReason.STORAGE_FULL, text)
