"""Links that a session has made: those not stored yet, and the last ones that were.

A link that Redis has taken reaches SQL within seconds, by the leader. A Redis that loses its
data before has lost it for good, unless the node stores its last ones once more.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from afx.cluster.links import CopyRoute
from afx.node.progress import Link
from afx.node.references import Reference

MOST_LINKS = 10_000
"""Links that may wait to be stored; beyond that nothing more is sent."""
_KEPT_SECONDS = 900.0
"""How long stored links are kept: the leader copies them within seconds, and later while SQL
is away. Beyond it, and beyond ``_MOST_KEPT``, what Redis loses meanwhile is lost."""
_TOGETHER_SECONDS, _TOGETHER = 10.0, 500
"""Links of so long, and so many, are kept as one entry: each costs more than its links."""
_MOST_KEPT = 5_000
_WIDTH = 5
_NUMBER = array("q").itemsize
_ENTRY = _WIDTH * _NUMBER


class MadeLinks:
    """Collects links until they are taken for a commit."""

    __slots__ = ("_kept", "_links", "_monotonic", "_taken")

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._links: list[Link] | tuple[()] = ()
        self._taken: Sequence[Link] = ()
        """Those of the commit that is under way."""
        self._kept: deque[tuple[float, array[int]]] | None = None
        """Since when links were stored, and those links: five numbers each (``_unpacked``)."""

    def __len__(self) -> int:
        return len(self._links)

    @property
    def is_full(self) -> bool:
        """Whether no more may be made before some are stored."""
        return len(self._links) >= MOST_LINKS

    def add(self, link: Link) -> None:
        """Note a link."""
        if not self._links:
            self._links = []
        self._links.append(link)

    def copies_of(
        self, wanted: Collection[tuple[CopyRoute, int]]
    ) -> dict[tuple[CopyRoute, int], int]:
        """Return those of some copies that were linked lately, by route and source message.

        What was stored some minutes ago is found as well, so that an edit, or an answer, soon
        after its message asks no one.
        """
        found = {}
        messages = {message for _, message in wanted}
        for link in (*self._taken, *self._links):
            it = link.delivery
            if it.message in messages:
                key = CopyRoute(it.rule, it.source, it.destination), it.message
                if key in wanted:
                    found[key] = link.copy  # the last one counts
        for key in wanted:
            if key not in found and (copy := self._stored(*key)):
                found[key] = copy
        return found

    def _stored(self, route: CopyRoute, message: int) -> int:
        """Return the copy that a kept link names; 0 for none."""
        if not self._kept:
            return 0
        begin = array("q", (route.rule, route.source, message, route.destination)).tobytes()
        for _, numbers in reversed(self._kept):
            data = numbers.tobytes()
            at = data.rfind(begin)
            while at >= 0 and at % _ENTRY:  # numbers of two links that look like one
                at = data.rfind(begin, 0, at + len(begin) - 1)
            if at >= 0:
                return numbers[at // _NUMBER + _WIDTH - 1]
        return 0

    def take(self) -> Sequence[Link]:
        """Return the links made since the last call."""
        links, self._links = self._links, ()
        self._taken = links
        return links

    def put_back(self, links: Iterable[Link]) -> None:
        """Take back links that could not be committed."""
        self._links, self._taken = [*links, *self._links], ()

    def note_committed(self) -> None:
        """What was taken last is stored."""
        taken, self._taken = self._taken[-_MOST_KEPT:], ()
        if taken:
            if self._kept is None:
                self._kept = deque()
            now, packed = self._monotonic(), _packed(taken)
            is_near = self._kept and now - self._kept[-1][0] < _TOGETHER_SECONDS
            if is_near and len(self._kept[-1][1]) + len(packed) <= _TOGETHER * _WIDTH:
                self._kept[-1][1].extend(packed)
            else:
                self._kept.append((now, packed))
        self.forget_old()

    def forget_old(self) -> None:
        """Forget what was stored long ago; call it from time to time."""
        if not self._kept:
            return
        since = self._monotonic() - _KEPT_SECONDS
        count = sum(len(it) for _, it in self._kept) // _WIDTH
        while self._kept and (self._kept[0][0] < since or count > _MOST_KEPT):
            count -= len(self._kept.popleft()[1]) // _WIDTH
        if not self._kept:
            self._kept = None

    def mark_all(self) -> None:
        """Let the next commit store the last links once more: Redis has lost its data."""
        self.forget_old()
        if self._kept:
            kept = [link for _, them in self._kept for link in _unpacked(them)]
            self._links, self._kept = [*kept, *self._links], None


def _packed(links: Iterable[Link]) -> array[int]:
    # A delivery would keep its message in memory.
    return array(
        "q",
        (
            number
            for link in links
            for it in (link.delivery,)
            for number in (it.rule, it.source, it.message, it.destination, link.copy)
        ),
    )


def _unpacked(numbers: array[int]) -> Iterator[Link]:
    for at in range(0, len(numbers), _WIDTH):
        rule, source, message, destination, copy = numbers[at : at + _WIDTH]
        yield Link(Reference(rule, "copy", source, message).delivery(destination), copy)
