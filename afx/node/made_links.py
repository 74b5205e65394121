"""Links that a session has made and not stored yet: they are lost with its process."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from afx.cluster.links import CopyRoute
from afx.node.progress import Link

MOST_LINKS = 10_000
"""Links that may wait to be stored; beyond that nothing more is sent."""


class MadeLinks:
    """Collects links until they are taken for a commit."""

    __slots__ = ("_links", "_taken")

    def __init__(self) -> None:
        self._links: list[Link] | tuple[()] = ()
        self._taken: Sequence[Link] = ()
        """Those of the commit that is under way."""

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

    def by_message(self) -> dict[tuple[CopyRoute, int], int]:
        """Return the copies by route and source message."""
        return {
            (CopyRoute(it.rule, it.source, it.destination), it.message): link.copy
            for link in (*self._taken, *self._links)
            for it in (link.delivery,)
        }

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
        self._taken = ()
