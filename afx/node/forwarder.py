"""Forwards one session's messages: routes, lanes, links, and the loop guard."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntFlag
from typing import Protocol

from afx.forwarding.pipeline import Delivery, Incoming, deliveries
from afx.forwarding.rules import Route, loops
from afx.node.admission import Admission, LinkSource
from afx.node.lane import Lane
from afx.node.loop_guard import LoopGuard
from afx.reasons import TroubleReason
from afx.telegram.boxes import Box, Ticket
from afx.telegram.client import AccountClient
from afx.telegram.peers import Peers
from afx.telegram.sender import Outcome

_MOST_ANNOUNCED = 4_096
_MOST_LINKS = 10_000
"""Links that may wait to be stored: they are in memory only, and repeated after a crash."""


@dataclass(slots=True, frozen=True)
class Link:
    """A source message and its copy."""

    delivery: Delivery
    copy: int


class Pause(IntFlag):
    """Why no new sends are started."""

    LEASE = 1
    """The node's lease was not renewed in time."""
    CONNECTION = 2
    """The connection is down."""
    STORAGE = 4
    """Too much of what was sent is not stored yet."""


class ForwarderOwner(Protocol):
    """The session that a forwarder belongs to."""

    def progressed(self) -> None:
        """There is something to commit."""

    def forwarded(self) -> None:
        """One message has been sent."""

    def lost(self, error: BaseException) -> None:
        """The connection, or the login, is lost."""

    def trouble(self, reason: TroubleReason, text: str) -> None:
        """Report what hinders the session."""


class Forwarder:
    """Takes a session's updates in order, and settles what they cause."""

    __slots__ = (
        "_admission",
        "_announced",
        "_client",
        "_guard",
        "_lanes",
        "_links",
        "_not_before",
        "_owner",
        "_pauses",
        "_peers",
        "_routes",
    )

    def __init__(
        self, client: AccountClient, peers: Peers, links: LinkSource, owner: ForwarderOwner
    ) -> None:
        self._client = client
        self._admission = Admission(links, self)
        self._peers = peers
        self._owner = owner
        self._lanes: dict[int, Lane] = {}
        self._links: list[Link] = []
        self._routes: Mapping[int, tuple[Route, ...]] = {}
        self._guard: LoopGuard | None = None
        self._pauses = Pause(0)
        self._not_before = 0.0
        """The loop's time until which Telegram wants no sends of the account."""
        self._announced: dict[int, int] = {}
        """random_id → message id of sends whose answers may have been lost."""

    def set_routes(
        self, routes: Mapping[int, tuple[Route, ...]], last_settled: Callable[[int], int]
    ) -> None:
        """Forward by these routes; ``last_settled`` gives a source's newest settled message."""
        self._routes = routes
        self._admission.set_routes(routes)
        self._guard = LoopGuard(routes, last_settled) if loops(routes) else None

    # --- updates -------------------------------------------------------------------

    def take(self, box: Box, pts: int, message: Incoming | None, own: bool) -> None:
        """Take the next update of a box."""
        routes = self._routes.get(message.chat, ()) if message and not own else ()
        if message and routes and self._guard is not None and self._guard.is_copy(message):
            routes = ()
        if not routes or message is None:
            box.admit(pts, 0)
            if box.advance():
                self._owner.progressed()
            return
        ticket = box.admit(pts, len(routes), message.chat, message.id)
        self._admission.offer(message, routes, ticket)

    def deliver(self, message: Incoming, routes: Sequence[Route], ticket: Ticket) -> None:
        """Put a message's deliveries into their lanes."""
        for delivery in deliveries(message, routes):
            self._lane(delivery.destination).put(delivery, ticket)

    def known(self, route: Route, copy: int, ticket: Ticket) -> None:
        """Settle a delivery whose copy is linked already."""
        if self._guard is not None:
            self._guard.note_copy(route.destination, copy)
        ticket.open -= 1
        if ticket.box.advance():
            self._owner.progressed()

    def note_own(self, message: Incoming) -> None:
        """Learn of a message that this session has just sent itself.

        Its lane settles it later, with the rest of its batch; a difference may bring
        it in between.
        """
        if self._guard is not None:
            self._guard.note_copy(message.chat, message.id)

    def announce(self, random_id: int, message_id: int) -> None:
        """Learn which message a send has made whose answer may have been lost."""
        self._announced[random_id] = message_id
        if len(self._announced) > _MOST_ANNOUNCED:
            del self._announced[next(iter(self._announced))]
        if self._guard is not None:
            self._guard.announce(random_id, message_id)

    def make_room(self) -> None:
        """Send again: the announced sends are known by now, or the memory is full."""
        self.resume(Pause.CONNECTION)

    # --- lanes ---------------------------------------------------------------------

    def pause(self, reason: Pause) -> None:
        """Start no new sends."""
        self._pauses |= reason
        for lane in self._lanes.values():
            lane.pause()

    def resume(self, reason: Pause) -> None:
        """Go on sending, unless there is another reason not to."""
        if reason not in self._pauses:
            return
        self._pauses &= ~reason
        if not self._pauses:
            for lane in self._lanes.values():
                lane.resume()

    async def drain(self) -> None:
        """Start no new sends, and wait a short time for those in flight."""
        await self._admission.stop()
        self._pauses |= Pause.CONNECTION
        await asyncio.gather(*(lane.drain() for lane in self._lanes.values()))

    async def cancel(self) -> None:
        """Stop sending at once; what is not settled stays in its lane."""
        self._pauses |= Pause.CONNECTION
        await asyncio.gather(*(lane.cancel() for lane in self._lanes.values()))

    def _lane(self, destination: int) -> Lane:
        lane = self._lanes.get(destination)
        if lane is None:
            lane = self._lanes[destination] = Lane(self._client, self._peers, self)
            if (left := self._not_before - asyncio.get_running_loop().time()) > 0:
                lane.wait(left)
            if self._pauses:
                lane.pause()
        return lane

    # --- what lanes report -------------------------------------------------------------

    def settled(self, delivery: Delivery, ticket: Ticket, outcome: Outcome) -> None:
        """A delivery was sent, was known to be sent, or was refused."""
        ticket.open -= 1
        copy = outcome.copy
        if outcome.result == "known":
            copy = copy or self._announced.pop(delivery.random_id, 0)
        if outcome.result == "refused":
            self._owner.trouble(
                TroubleReason.MESSAGE_REFUSED,
                f"message {delivery.message} of {delivery.source} was refused by "
                f"{delivery.destination}: {outcome.reason}",
            )
        elif copy:
            self._links.append(Link(delivery, copy))
            self._check_links()
            if self._guard is not None:
                self._guard.note_copy(delivery.destination, copy)
        if outcome.result == "sent":
            self._owner.forwarded()
        ticket.box.advance()
        self._owner.progressed()

    def lost(self, error: BaseException) -> None:
        """A lane has lost the connection, or the login."""
        self._owner.lost(error)

    def wait_all(self, seconds: float, reason: str) -> None:
        """Let all lanes wait, those to come too; reported once for all."""
        loop = asyncio.get_running_loop()
        if self._not_before <= loop.time():
            self._owner.trouble(
                TroubleReason.SEND_FAILED,
                f"Telegram takes no sends of this account for now: {reason}",
            )
        self._not_before = loop.time() + seconds
        for lane in self._lanes.values():
            lane.wait(seconds)

    def trouble(self, reason: TroubleReason, text: str) -> None:
        """A lane is hindered."""
        self._owner.trouble(reason, text)

    # --- links ------------------------------------------------------------------------

    def take_links(self) -> list[Link]:
        """Return the links made since the last call."""
        links, self._links = self._links, []
        return links

    def put_back(self, links: Iterable[Link]) -> None:
        """Take back links that could not be committed."""
        self._links = [*links, *self._links]
        self._check_links()

    def note_committed(self) -> None:
        """What was taken is stored: go on sending if too much of it had waited."""
        self.resume(Pause.STORAGE)

    def _check_links(self) -> None:
        if len(self._links) >= _MOST_LINKS and Pause.STORAGE not in self._pauses:
            self.pause(Pause.STORAGE)
            self._owner.trouble(
                TroubleReason.STORAGE_FULL, f"{len(self._links)} links wait to be stored"
            )
