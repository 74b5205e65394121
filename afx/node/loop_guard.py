"""Recognises a session's own copies, so that a → b → a does not loop.

It knows a copy by its chat *and* its message id: in another chat the same id is
another message. It works in memory and for one session; the links' reverse map in
Redis is to become the guard of the whole cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice, product

from afx.forwarding.digests import digest_id
from afx.forwarding.pipeline import Incoming, random_id
from afx.forwarding.rules import Route, loops
from afx.node.references import Reference

_MOST_COPIES = 20_000
_WINDOW = 4_000
"""Message ids after a source's last settled one in which an unanswered send may lie."""


class LoopGuard:
    """The copies that one session has made in chats that are also sources."""

    __slots__ = ("_announced", "_copies", "_last_settled", "_looping", "_routes", "_waiting")

    def __init__(
        self,
        routes: Mapping[int, tuple[Route, ...]],
        last_settled: Callable[[int], int],
        *waiting: Callable[[int], Iterable[Reference]],
    ) -> None:
        """``last_settled`` returns the newest settled message id of a source chat.

        Each of ``waiting`` returns what is stored for a destination, in its order: in its
        outbox, and what is not due yet.
        """
        self._looping = looping = loops(routes)
        self._waiting = waiting
        self._routes = [
            (source, route)
            for source, its_routes in routes.items()
            for route in its_routes
            if route.destination in looping
        ]
        self._last_settled = last_settled
        self._copies: dict[tuple[int, int], None] = {}
        self._announced: dict[int, int] = {}

    def note_copy(self, chat: int, message_id: int) -> None:
        """Remember a copy; the oldest ones are forgotten."""
        self._copies[chat, message_id] = None
        if len(self._copies) > _MOST_COPIES:
            del self._copies[next(iter(self._copies))]

    def learn_from(self, before: LoopGuard) -> None:
        """Know what the guard of an earlier set of routes knew."""
        self._copies.update(before._copies)
        self._announced.update(before._announced)

    def announce(self, random_id_: int, message_id: int) -> None:
        """Learn the id of a message whose send got no answer; its chat is unknown."""
        self._announced[random_id_] = message_id
        if len(self._announced) > _WINDOW:
            self._find_announced()

    def is_copy(self, message: Incoming) -> bool:
        """Return whether a message of a source chat is a copy that this session made."""
        if self._announced:
            self._find_announced()
        return (message.chat, message.id) in self._copies

    def _find_announced(self) -> None:
        """Find the chats of announced sends.

        A random_id is derived from rule, source, message and destination, and a send
        without an answer is not settled: so its source message is among the next ones
        after the last settled, or it is still in the outbox of its destination, or among what
        is not due yet, which let the cursor pass it.
        """
        announced, self._announced = self._announced, {}
        for destination, waiting in product(self._looping, self._waiting):
            for made in _random_ids(islice(waiting(destination), _WINDOW), destination):
                if made in announced:
                    self.note_copy(destination, announced.pop(made))
            if not announced:
                return
        for source, route in self._routes:
            first = self._last_settled(source) + 1
            for message_id in range(first, first + _WINDOW):
                made = random_id(route.rule, source, message_id, route.destination)
                if made in announced:
                    self.note_copy(route.destination, announced.pop(made))
            if not announced:
                return


def _random_ids(waiting: Iterable[Reference], destination: int) -> Iterator[int]:
    """Yield the random ids of what waits for a destination, and of the digests in it."""
    laid_out: list[Reference] = []
    for it in waiting:
        yield random_id(it.rule, it.source, it.message, destination)
        if it.part != "rest":
            yield from _of_digest(laid_out, destination)
            laid_out = []
        if it.part in ("first", "rest"):
            laid_out.append(it)
    yield from _of_digest(laid_out, destination)


def _of_digest(references: list[Reference], destination: int) -> Iterator[int]:
    if references:
        messages = ((it.source, it.message) for it in references)
        yield digest_id(references[0].rule, destination, messages)
