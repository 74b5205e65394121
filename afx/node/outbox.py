"""What waits for one destination and is stored: references to messages, in their order.

A lane that must wait for long, or holds too much, gives what it holds to its outbox. The
references are stored in the session's cursor hash, in the same commit that lets the cursor
pass their messages; the contents are fetched again when they are sent. So neither the cursor
nor the memory waits for a slow destination.

Chunks of references are fields ``outbox:DESTINATION:NUMBER``; only the first and the last one
change. ``first:DESTINATION`` is the number of the first one: an older one in Redis was sent, and
came back from a copy in SQL. ``references`` says what a chunk is. Queues of what is postponed have
the fields ``later:QUEUE:DESTINATION:NUMBER`` and ``lfirst:QUEUE:DESTINATION`` (see ``postponed``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile

from afx.forwarding.pipeline import Delivery, Part
from afx.node.known_references import KnownReferences
from afx.node.references import CHUNK, Reference, decode, encode, reference_to
from afx.telegram.boxes import Ticket

_MOST_REMOVED = 2_000
"""Chunks that have left of which a commit says so again: half a million messages."""
AT_ONCE = 50
"""The most that one lane sends at once."""
_NAMES = ("outbox:", "first:")
"""How the names of an outbox's fields begin."""


@dataclass(slots=True)
class _Chunk:
    number: int
    references: deque[Reference] | None
    """None while it is neither the first nor the last one."""
    text: str = ""


class Outbox:
    """The stored references of one lane. Tickets of what is being sent settle it in order."""

    __slots__ = (
        "_chunks",
        "_dirty",
        "_first",
        "_first_before",
        "_known",
        "_lowest",
        "_names",
        "_newest",
        "_next",
        "_sent",
        "count",
        "destination",
        "last_due",
        "open",
        "reading",
        "unsure",
    )

    def __init__(
        self,
        destination: int,
        chunks: Mapping[int, str] | None = None,
        first: int = 0,
        *,
        queue: str = "",
    ) -> None:
        """``chunks`` are stored ones, by number; those below ``first`` were sent.

        ``queue`` is that of what is postponed. Raises MalformedPositionError.
        """
        self.destination = destination
        self._names = (f"later:{queue}:", f"lfirst:{queue}:") if queue else _NAMES
        """How the names of its fields begin."""
        self.last_due = 0
        """When the newest reference that was ever put in is due."""
        self.count = 0
        """How many references there are."""
        # Nearly all outboxes are empty: an empty list takes a tenth of a deque.
        self._chunks: list[_Chunk] = []
        self._dirty: list[int] = []
        self._sent: list[int] = []
        self._newest: dict[tuple[int, int], int] = {}
        """(rule, source) → the newest message that was ever put in."""
        self._known: KnownReferences | None = None
        self._first: int | None = None
        """The number of the first chunk as it was stored last; None: it is to be stored."""
        self._next = first
        self._lowest = min(chunks or (0,))
        """No chunk of this run has a lower number."""
        self.open: list[Ticket] = []
        """The tickets of the first references: those that are being sent."""
        self.unsure = 0
        """How many of the first references an earlier run may have sent: its last batch."""
        self.reading = 0
        """How many of the first references are being read, to be sent; then 0 again."""
        for number, text in sorted((chunks or {}).items()):
            if number < first:
                self._dirty.append(number)
                continue
            for it in decode(text):
                self._note(it)
                self.count += 1
                self.last_due = max(self.last_due, it.due)
            self._chunks.append(_Chunk(number, None, text))
            self._next = number + 1
        self.unsure = 0 if queue else min(self.count, AT_ONCE)
        self._unpack_first()
        self._first = self._live if first == self._live else None
        self._first_before = self._first

    def __bool__(self) -> bool:
        return bool(self._chunks)

    @property
    def _live(self) -> int:
        """The number of the first chunk that was not sent."""
        return self._chunks[0].number if self._chunks else self._next

    # --- in ------------------------------------------------------------------------------

    def append(self, delivery: Delivery, due: int = 0, *, joined: bool = False) -> None:
        """Put a delivery at the end; ``joined``: it is of the album of the one before it."""
        reference = reference_to(delivery, due)._replace(joined=joined)
        if due:
            self.last_due = max(self.last_due, due)
        last = self._chunks[-1] if self._chunks else None
        if last is None or last.references is None or len(last.references) >= CHUNK:
            if last is not None and last is not self._chunks[0] and last.references is not None:
                last.text, last.references = encode(last.references), None
            last = _Chunk(self._next, deque())
            self._next += 1
            self._chunks.append(last)
        assert last.references is not None
        last.references.append(reference)
        self.count += 1
        self._note(reference)
        self._mark(last.number)

    def contains(self, delivery: Delivery) -> bool:
        """Return whether a delivery that is replayed waits here already.

        So does a change whose content is read when it is made, unless that is under way.
        """
        reference = reference_to(delivery)
        if reference.op in ("pin", "unpin"):
            return False  # their order tells what holds
        key = (reference.group, reference.source)
        if not self._chunks or delivery.message > self._newest.get(key, 0):
            return False
        if self._known is None:
            self._known = KnownReferences(
                (it.group, it.source, it.message)
                for chunk in self._chunks
                for it in chunk.references or decode(chunk.text)
            )
        is_here = (*key, delivery.message) in self._known
        if is_here and reference.op != "send":
            return reference not in islice(self.references(), self.under_way)
        return is_here

    def holds(self, send: Delivery) -> bool:
        """Return whether a message waits here and is not under way: it was not sent."""
        if not self.contains(send):
            return False
        under_way = islice(self.references(), self.under_way)
        wanted = (send.rule, send.source, send.message, send.op)
        return wanted not in ((it.rule, it.source, it.message, it.op) for it in under_way)

    def _note(self, reference: Reference) -> None:
        key = (reference.group, reference.source)
        self._newest[key] = max(reference.message, self._newest.get(key, 0))
        if self._known is not None:
            self._known.add(*key, reference.message)

    # --- out -----------------------------------------------------------------------------

    @property
    def first_reference(self) -> Reference:
        """The first reference; there is one."""
        references = self._chunks[0].references
        assert references is not None
        return references[0]

    @property
    def first_due(self) -> int:
        """When the first reference is due; there is one."""
        return self.first_reference.due

    def first(self, most: int) -> Sequence[Reference]:
        """Return the next references to send, while none are being sent."""
        if not self._chunks or self.open:
            return ()
        found = list(islice(self.references(), most))
        if found and found[-1].part in ("first", "rest"):  # a digest is read as a whole
            rest = islice(self.references(), most, None)
            found += takewhile(lambda it: it.part == "rest", rest)
        self.reading = len(found)
        return found

    def lay_out(self, start: int, count: int) -> None:
        """Let so many references from a place on be one message of a digest."""
        at = 0
        for chunk in self._chunks:
            them = list(decode(chunk.text) if chunk.references is None else chunk.references)
            places = range(max(start - at, 0), min(start + count - at, len(them)))
            for place in places:
                part: Part = "first" if at + place == start else "rest"
                them[place] = them[place]._replace(part=part)
            if places:
                if chunk.references is None:
                    chunk.text = encode(them)
                else:
                    chunk.references = deque(them)
                self._mark(chunk.number)
            at += len(them)
            if at >= start + count:
                break

    def references(self) -> Iterator[Reference]:
        """Yield all that is in it, in order; nothing may change meanwhile."""
        for chunk in self._chunks:
            yield from decode(chunk.text) if chunk.references is None else chunk.references

    def begin(self, count: int) -> list[Ticket]:
        """Return the tickets of the first references, which are being sent from now on."""
        self.open = [Ticket(0, 1, self) for _ in range(count)]
        return list(self.open)

    def advance(self) -> bool:
        """Take out the first references that are settled; True if there were any."""
        moved = False
        while self.open and self.open[0].open == 0:
            self.open.pop(0)
            chunk = self._chunks[0]
            assert chunk.references is not None
            gone = chunk.references.popleft()
            self.count -= 1
            self.unsure -= self.unsure > 0
            self._mark(chunk.number)
            if self._known is not None:
                self._known.discard(gone.group, gone.source, gone.message)
            if not chunk.references:
                self._chunks.pop(0)
                self._unpack_first()
            moved = True
        if not self._chunks:
            self._known = None
            self._newest = {}
        return moved

    def bring_forward(self, latest: int) -> bool:
        """Let nothing be due later than ``latest``; returns whether anything was."""
        if self.last_due <= latest:
            return False
        self.last_due = latest
        self.change_all(lambda it: it._replace(due=min(it.due, latest)))
        return bool(self._chunks)

    @property
    def under_way(self) -> int:
        """How many of the first references are being sent, or read to be sent."""
        return max(len(self.open), self.reading)

    def drop(self, is_gone: Callable[[Reference], bool]) -> list[Reference]:
        """Take some references out, of those that are surely not sent; returns them."""
        first = max(self.under_way, self.unsure)
        gone = [it for it in islice(self.references(), first, None) if is_gone(it)]
        kept = iter([True] * first)
        self.change_all(lambda it: it if next(kept, False) or not is_gone(it) else None)
        return gone

    def change_all(self, change: Callable[[Reference], Reference | None]) -> None:
        """Change references; None takes one out."""
        for chunk in list(self._chunks):
            before = decode(chunk.text) if chunk.references is None else chunk.references
            after = [new for it in before if (new := change(it)) is not None]
            self.count -= len(before) - len(after)
            if chunk.references is None:
                chunk.text = encode(after)
            else:
                chunk.references = deque(after)
            if not after:
                self._chunks.remove(chunk)
            self._mark(chunk.number)
        self._known = None
        self._unpack_first()

    def clear(self) -> bool:
        """Take out all, while none is being sent; returns whether there was any."""
        gone, self._chunks = self._chunks, []
        for it in gone:
            self._mark(it.number)
        self.count, self._known, self._newest = 0, None, {}
        return bool(gone)

    def _unpack_first(self) -> None:
        if self._chunks and self._chunks[0].references is None:
            self._chunks[0].references = deque(decode(self._chunks[0].text))

    # --- what is to be stored --------------------------------------------------------------

    def take_fields(self) -> list[str]:
        """Return what has changed since the last call, as field, value, …; "" for none."""
        if not self._dirty:
            return []
        self._sent, self._dirty = self._dirty, []
        sent = set(self._sent)
        texts = {
            it.number: it.text if it.references is None else encode(it.references)
            for it in self._chunks
            if it.number in sent
        }
        fields = [
            text
            for number in sorted(sent)
            for text in (f"{self._names[0]}{self.destination}:{number}", texts.get(number, ""))
        ]
        live, self._first_before = self._live, self._first
        if self._first != live:
            self._first = live
            fields += [f"{self._names[1]}{self.destination}", str(live)]
        return fields

    def put_back(self) -> None:
        """What was taken last could not be stored."""
        self._dirty = list({*self._sent, *self._dirty})
        if self._first is not None:
            self._first = self._first_before

    def mark_all(self) -> None:
        """Let the next commit write all chunks, and remove the last ones that have left.

        A Redis that has lost its data may get an older copy back, with chunks that were sent.
        """
        gone = range(max(self._lowest, self._next - _MOST_REMOVED), self._next)
        self._dirty = list({*self._dirty, *gone, *(it.number for it in self._chunks)})
        self._first = None

    def _mark(self, number: int) -> None:
        """A chunk has changed; nearly always it is the one that changed last."""
        if not self._dirty or self._dirty[-1] != number:
            self._dirty.append(number)
