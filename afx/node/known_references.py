"""Which references an outbox holds, in about four bytes each: replays ask for them."""

from __future__ import annotations

from array import array
from bisect import bisect_left, insort
from collections.abc import Iterable

_SLACK = 64


class _Ids:
    """The messages of one group and source, in order; they leave at the front, nearly always."""

    __slots__ = ("ids", "start")

    def __init__(self) -> None:
        self.ids = array("I")
        self.start = 0

    def add(self, message: int) -> None:
        if not self.ids or message >= self.ids[-1]:
            self.ids.append(message)
        else:
            insort(self.ids, message, lo=self.start)

    def find(self, message: int) -> int:
        """Return where a message is; -1: nowhere."""
        at = bisect_left(self.ids, message, lo=self.start)
        return at if at < len(self.ids) and self.ids[at] == message else -1

    def discard(self, message: int) -> None:
        at = self.find(message)
        if at == self.start:
            self.start += 1
            if self.start > _SLACK and 2 * self.start > len(self.ids):
                del self.ids[: self.start]
                self.start = 0
        elif at > 0:
            self.ids.pop(at)


class KnownReferences:
    """References as (group, source, message); one that is in twice leaves twice."""

    __slots__ = ("_ids",)

    def __init__(self, references: Iterable[tuple[int, int, int]]) -> None:
        self._ids: dict[tuple[int, int], _Ids] = {}
        for it in references:
            self.add(*it)

    def __contains__(self, reference: tuple[int, int, int]) -> bool:
        group, source, message = reference
        found = self._ids.get((group, source))
        return found is not None and found.find(message) >= 0

    def add(self, group: int, source: int, message: int) -> None:
        """Add a reference."""
        found = self._ids.get((group, source))
        if found is None:
            found = self._ids[group, source] = _Ids()
        found.add(message)

    def discard(self, group: int, source: int, message: int) -> None:
        """Remove a reference, if it is there."""
        if found := self._ids.get((group, source)):
            found.discard(message)
            if found.start == len(found.ids):
                del self._ids[group, source]
