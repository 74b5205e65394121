"""The guard of one session against loops, where its routes have any."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from afx.empty import NONE
from afx.forwarding.pipeline import Incoming
from afx.forwarding.rules import Routes, loops
from afx.node.loop_guard import LoopGuard
from afx.node.references import Reference


class Loops:
    """Chats that are both source and destination, and the copies in them."""

    __slots__ = ("_guard", "chats")

    def __init__(self) -> None:
        self.chats: frozenset[int] = NONE
        """Those that are both source and destination."""
        self._guard: LoopGuard | None = None

    def set_routes(
        self,
        routes: Routes,
        last_settled: Callable[[int], int],
        *waiting: Callable[[int], Iterable[Reference]],
    ) -> None:
        """Guard these routes from now on; the arguments are those of ``LoopGuard``."""
        before = self._guard
        self.chats = frozenset(loops(routes)) or NONE
        self._guard = LoopGuard(routes, last_settled, *waiting) if self.chats else None
        if before and self._guard:
            self._guard.learn_from(before)

    def note_copy(self, chat: int, message_id: int) -> None:
        """Remember a copy."""
        if self._guard is not None:
            self._guard.note_copy(chat, message_id)

    def announce(self, random_id: int, message_id: int) -> None:
        """Learn the id of a message whose send got no answer; its chat is unknown."""
        if self._guard is not None:
            self._guard.announce(random_id, message_id)

    def is_copy(self, message: Incoming) -> bool:
        """Return whether a message of a source chat is a copy that this session made."""
        return self._guard is not None and self._guard.is_copy(message)
