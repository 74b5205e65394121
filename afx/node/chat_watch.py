"""One session's part in guarding chats: it registers, learns, and ends what it inherited."""

from __future__ import annotations

from typing import Protocol

from afx.node.admission import LinkSource
from afx.node.forwarder import Forwarder
from afx.node.guarded_chats import GuardedChats
from afx.node.preparation import Routes
from afx.telegram.boxes import Ticket
from afx.telegram.updates import UpdateReader


class WatchOwner(Protocol):
    """The session that a watch belongs to."""

    def progressed(self) -> None:
        """There is something to commit."""


class ChatWatch:
    """Tells a session's forwarder which channels are guarded (see ``guarded_chats``)."""

    __slots__ = ("_chats", "_forwarder", "_links", "_owner", "_reader", "_replayed", "_session")

    def __init__(
        self,
        session: int,
        chats: GuardedChats,
        links: LinkSource,
        *,
        reader: UpdateReader,
        forwarder: Forwarder,
        owner: WatchOwner,
    ) -> None:
        self._session = session
        self._chats = chats
        self._links = links
        self._reader = reader
        self._forwarder = forwarder
        self._owner = owner
        self._replayed: list[Ticket] | None = None
        """What was in flight when all that was missed had been read; None before."""

    async def begin(self, routes: Routes) -> None:
        """Register the chats of all routes, before any message of them is handled."""
        await self.register(routes)
        destinations = {it.destination for them in routes.values() for it in them}
        guarded = sorted(destinations & self._forwarder.intents.guarded)
        intents = await self._links.intents_of(self._session, guarded)
        self._forwarder.intents.inherit(intents)

    async def register(self, routes: Routes) -> None:
        """Register the chats of all routes, also while some of them are in use."""
        destinations = {it.destination for them in routes.values() for it in them}
        await self._chats.register(self._session, routes, destinations, self._note)

    def end(self) -> None:
        """The session ends."""
        self._chats.forget(self._session)

    def _note(self, guarded: frozenset[int]) -> None:
        self._forwarder.note_guarded(guarded)
        self._end_inherited()

    def _end_inherited(self) -> None:
        """End an earlier owner's batches once all that it may have sent is settled.

        So end the sends of lanes that have got senders since.
        """
        intents, own = self._forwarder.intents, self._forwarder.pools.own
        if not intents.inherited and own.is_settled:
            return
        boxes = list(self._reader.boxes())
        if self._replayed is None:
            if any(it.syncing for it in boxes):
                return
            self._replayed = [ticket for box in boxes for ticket in box.tickets]
        if not any(it.open for it in self._replayed):
            self._replayed = []
            has_open = bool(intents.inherited or own.open)
            for chat in intents.inherited:
                # What an outbox holds may have been sent as well, and not been linked.
                if not self._forwarder.outboxes.has(chat):
                    intents.end_inherited(chat)
            if own.open:
                begun = {it.destination for it in self._forwarder.lanes.begun()}
                outboxes = self._forwarder.outboxes
                own.end(
                    it
                    for it in own.open
                    if it.destination not in begun and not outboxes.has(it.destination)
                )
            if not any(self._forwarder.outboxes.filled()):
                own.end_earlier()
            if has_open:
                self._owner.progressed()
