"""The outboxes of one session, by destination (see ``outbox``)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator

from afx.forwarding.pipeline import Delivery
from afx.node.outbox import Outbox
from afx.node.references import Reference
from afx.telegram.session import MalformedPositionError

_FIRST = re.compile(r"first:(-?[0-9]{1,19})", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,12}", re.ASCII)
_FIELD = re.compile(r"outbox:(-?[0-9]{1,19}):([0-9]{1,12})", re.ASCII)


class Outboxes:
    """What waits for the destinations of one session."""

    __slots__ = ("_outboxes",)

    def __init__(self) -> None:
        self._outboxes: dict[int, Outbox] = {}

    def load(self, fields: dict[str, str]) -> None:
        """Take the stored outboxes out of a cursor's fields; raises MalformedPositionError."""
        self._outboxes = load(fields)

    def of(self, destination: int) -> Outbox:
        """Return a destination's outbox."""
        found = self._outboxes.get(destination)
        if found is None:
            found = self._outboxes[destination] = Outbox(destination)
        return found

    def filled(self) -> Iterator[int]:
        """Yield the destinations in whose outboxes anything waits."""
        return (it for it, outbox in self._outboxes.items() if outbox)

    def waiting_for(self, destination: int) -> Iterable[Reference]:
        """Return what waits for a destination, in its order."""
        outbox = self._outboxes.get(destination)
        return outbox.references() if outbox else ()

    def waiting(self) -> Iterator[tuple[int, Reference]]:
        """Yield all that waits, with its destination."""
        return ((it, one) for it in self.filled() for one in self._outboxes[it].references())

    def has(self, destination: int) -> bool:
        """Return whether anything waits in a destination's outbox."""
        return bool(self._outboxes.get(destination))

    def contains(self, delivery: Delivery) -> bool:
        """Return whether a delivery that is replayed waits in its destination's outbox."""
        outbox = self._outboxes.get(delivery.destination)
        return outbox is not None and outbox.contains(delivery)

    def holds(self, send: Delivery) -> bool:
        """Return whether a message waits in its destination's outbox, and is not under way."""
        outbox = self._outboxes.get(send.destination)
        return outbox is not None and outbox.holds(send)

    def has_backlog(self, closed: Collection[int]) -> bool:
        """Return whether anything waits for a destination that is not one of these."""
        return any(it not in closed for it in self.filled())

    def take_fields(self) -> list[str]:
        """Return what is to be stored, as field, value, …."""
        return [text for it in self._outboxes.values() for text in it.take_fields()]

    def put_back(self) -> None:
        """What was taken last could not be stored."""
        for it in self._outboxes.values():
            it.put_back()

    def mark_all(self) -> None:
        """Let the next commit write all outboxes."""
        for it in self._outboxes.values():
            it.mark_all()


def load(fields: dict[str, str]) -> dict[int, Outbox]:
    """Take stored outboxes out of a cursor's fields; returns them by destination.

    Raises MalformedPositionError.
    """
    found: dict[int, dict[int, str]] = {}
    first: dict[int, int] = {}
    for name in [it for it in fields if it.startswith(("outbox:", "first:"))]:
        text = fields.pop(name)
        if match := _FIELD.fullmatch(name):
            found.setdefault(int(match[1]), {})[int(match[2])] = text
        elif (match := _FIRST.fullmatch(name)) and _NUMBER.fullmatch(text):
            first[int(match[1])] = int(text)
        else:
            raise MalformedPositionError(f"an outbox is stored as {name[:40]!r}")
    return {it: Outbox(it, found.get(it), first.get(it, 0)) for it in {*found, *first}}
