"""What a lane holds, in its order, and how a change is made in what is still to be sent.

The items of an album come as single messages, in one packet or in several, and are to be sent
by one request (core.telegram.org/api/files, "Grouped media"). So an album that may still be
incomplete waits, while what other chats have posted passes it: until its source has posted
something else, its tenth item has come, or none has come for a second.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile
from math import inf

from afx.forwarding.pipeline import Delivery
from afx.forwarding.whole_albums import MOST_IN_ALBUM, is_item, is_same_album, units
from afx.node.followed import take_edit
from afx.telegram.boxes import Ticket

Entry = tuple[Delivery, Ticket]
"""One delivery, and what is told when it is settled."""
_Key = tuple[int, int, int]
_SLACK = 64
ALBUM_SECONDS = 1.0
"""How long after an item the next one of its album may come."""
_LOOKED_BACK = 100
"""Among how many of the last deliveries an item looks for the others of its album."""


@dataclass(slots=True, eq=False)
class _Held:
    delivery: Delivery
    ticket: Ticket
    since: float = -inf
    """When an item of an album came, in the loop's time."""
    is_begun: bool = False
    """It may have been sent, and is not settled."""
    tries: int = 0
    """How many of its tries may have sent it: none that Telegram has refused."""
    is_gone: bool = False
    """It is not to be sent any more; it leaves when those before it have left."""


class LaneQueue:
    """The deliveries of one lane that are in memory.

    A change finds what it is of by an index, which only queues with changes have.
    """

    __slots__ = ("_count", "_held", "_index")

    def __init__(self) -> None:
        self._held: deque[_Held] = deque()
        self._count = 0
        self._index: dict[_Key, list[_Held]] | None = None
        """(rule, source, message) → its sends, edits and deletes, in order."""

    def __len__(self) -> int:
        return self._count

    def append(self, delivery: Delivery, ticket: Ticket, now: float = -inf) -> None:
        """Put a delivery at the end, an item behind the others of its album.

        ``now`` is the loop's time; without it more items are not waited for.
        """
        held = _Held(delivery, ticket, now)
        self._held.insert(len(self._held) - self._behind_album(delivery), held)
        self._count += 1
        if self._index is not None:
            self._note(self._index, held)

    def keep_first(self, tickets: Sequence[Ticket]) -> None:
        """Keep the first deliveries, in their order and begun as they are, with new tickets."""
        kept = [it for it in self._held if not it.is_gone][: len(tickets)]
        for it, ticket in zip(kept, tickets, strict=True):
            it.ticket = ticket
        self._held, self._count, self._index = deque(kept), len(kept), None

    def entries(self) -> list[Entry]:
        """Return all deliveries, in order."""
        return [(it.delivery, it.ticket) for it in self._held if not it.is_gone]

    def next_batch(self, most: int, now: float) -> tuple[list[Entry], float]:
        """Return the first sends, or changes, that may be sent, up to so many: whole albums.

        With none: in how many seconds the first album counts as complete. They become the
        first ones of the queue.
        """
        batch = list(self._first_alike(most))
        if not any(it.delivery.album for it in batch):
            return [(it.delivery, it.ticket) for it in batch], 0.0
        batch = list(self._first_alike(most + MOST_IN_ALBUM))
        may_be_cut = len(batch) == most + MOST_IN_ALBUM
        chosen: list[_Held] = []
        early: list[_Held] = []
        wait = inf
        for unit in units(batch, lambda it: it.delivery):
            begun = [it for it in unit if it.is_begun]
            if begun and len(begun) < len(unit):
                # They may have been sent: with others they would be another request.
                chosen += begun
                break
            if (left := self._grows_for(unit, now)) > 0:
                early += unit
                wait = min(wait, left)
            elif len(chosen) + len(unit) > most or (may_be_cut and unit[-1] is batch[-1]):
                break
            else:
                chosen += unit
        if early and chosen:
            others = {id(it) for it in (*chosen, *early)}
            rest = [it for it in self._held if id(it) not in others]
            self._held = deque((*chosen, *early, *rest))
        return [(it.delivery, it.ticket) for it in chosen], 0.0 if chosen else wait

    def begin(self, count: int) -> None:
        """Note that so many of the first deliveries may be sent from now on."""
        for it in self._first_alike(count):
            it.is_begun = True
            it.tries += 1

    def note_refused(self, count: int) -> None:
        """Telegram has sent none of the first deliveries, which were begun last."""
        for it in self._first_alike(count):
            it.tries -= it.is_begun and it.tries > 0

    def recall(self, tickets: Sequence[Ticket]) -> list[Ticket]:
        """Keep what may have been sent of an outbox, and what is before that; returns its tickets.

        ``tickets`` are those of what the outbox has given, in its order.
        """
        sent = {id(it.ticket) for it in self._held if it.tries}
        places = (at for at, it in enumerate(tickets, 1) if id(it) in sent or not it.open)
        left = list(tickets[: max(places, default=0)])
        known = set(map(id, left))
        self._held = deque(it for it in self._held if id(it.ticket) in known and not it.is_gone)
        self._count, self._index = len(self._held), None
        return left

    def begun(self) -> list[Delivery]:
        """Return those of the first deliveries that may have been sent."""
        there = (it for it in self._held if not it.is_gone)
        return [it.delivery for it in takewhile(lambda it: it.is_begun, there)]

    def pop(self) -> Entry:
        """Take out the first delivery; raises IndexError when there is none."""
        while True:
            held = self._held.popleft()
            if not held.is_gone:
                break
        self._count -= 1
        if not self._count:
            self._held.clear()
            self._index = None
        elif self._index is not None:
            self._forget(self._index, held)
        return held.delivery, held.ticket

    def fold(self, change: Delivery) -> Sequence[Entry] | None:
        """Make a change in what is still to be sent; returns what is not to be sent any more.

        None: its message is not here, or may have been sent already; or a difference has
        brought it, so that an earlier run may have sent it: its random id would give the copy
        as it was.
        """
        if change.op not in ("edit", "delete") or change.error or not self._count:
            return None
        if self._index is None:
            self._index = {}
            for held in self._held:
                self._note(self._index, held)
        for held in reversed(self._index.get(_key_of(change), ())):
            it = held.delivery
            if held.is_begun or it.parts:
                return None
            if (it.op, change.op) == ("edit", "delete"):
                continue
            if it.op == "delete" or (it.op == "send" and not held.ticket.pts):
                return None
            if change.op == "delete":
                self._take_out(self._index, held)
                return [(it, held.ticket)]
            take_edit(it, change)
            return []
        return None

    def take_out(self, rules: Collection[int]) -> list[Entry]:
        """Take out, and return, what was surely not sent and is of none of these rules."""
        kept: list[_Held] = []
        out: list[_Held] = []
        for it in self._held:
            if not it.is_gone:
                (kept if it.tries or it.delivery.rule in rules else out).append(it)
        if out:
            self._held, self._count, self._index = deque(kept), len(kept), None
        return [(it.delivery, it.ticket) for it in out]

    def _behind_album(self, item: Delivery) -> int:
        """Return how many deliveries come behind the other items of an item's album."""
        if not is_item(item):
            return 0
        last = islice(reversed(self._held), _LOOKED_BACK)
        for behind, it in enumerate(last):
            if not it.is_gone and is_same_album(it.delivery, item):
                return 0 if it.is_begun else behind
        return 0

    def _grows_for(self, unit: Sequence[_Held], now: float) -> float:
        """Return for how many seconds more items of an album may come, 0 for what is complete."""
        last = unit[-1]
        left = last.since + ALBUM_SECONDS - now
        if not is_item(last.delivery) or left <= 0 or len(unit) >= MOST_IN_ALBUM:
            return 0.0
        for it in reversed(self._held):
            if it is last:
                return left
            its = it.delivery
            if its.source == last.delivery.source and its.album != last.delivery.album:
                return 0.0
        return 0.0

    def _take_out(self, index: dict[_Key, list[_Held]], held: _Held) -> None:
        held.is_gone = True
        self._count -= 1
        self._forget(index, held)
        if len(self._held) > 2 * self._count + _SLACK:
            self._held = deque(it for it in self._held if not it.is_gone)

    def _first_alike(self, most: int) -> Iterator[_Held]:
        count, is_send = 0, False
        for it in self._held:
            if count >= most:
                return
            if it.is_gone:
                continue
            if count and (it.delivery.op == "send") is not is_send:
                return
            is_send = it.delivery.op == "send"
            count += 1
            yield it

    @staticmethod
    def _note(index: dict[_Key, list[_Held]], held: _Held) -> None:
        if held.delivery.op not in ("pin", "unpin", "topic") and not held.is_gone:
            index.setdefault(_key_of(held.delivery), []).append(held)

    @staticmethod
    def _forget(index: dict[_Key, list[_Held]], held: _Held) -> None:
        key = _key_of(held.delivery)
        left = [it for it in index.get(key, ()) if it is not held]
        if left:
            index[key] = left
        else:
            index.pop(key, None)


def _key_of(it: Delivery) -> _Key:
    return it.rule, it.source, it.message
