"""What a session may have sent to guarded channels, and has not linked yet.

Before a batch goes to such a channel, its number is stored in Redis; the number is
removed in the commit that stores the batch's links. So whoever finds no link of a
message there, and no intent either, knows that it is no copy.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from afx.empty import NONE


class Intents:
    """The batches of one session that are under way to guarded channels."""

    __slots__ = ("_changed", "_commit", "_count", "_epoch", "_inherited", "_open", "guarded")

    def __init__(self, epoch: int, commit: Callable[[], Awaitable[bool]]) -> None:
        """``commit`` stores what ``take`` returns; False: another node has the session."""
        self._epoch = epoch
        self._commit = commit
        self.guarded: frozenset[int] = NONE
        """The channels whose batches have to be stored before they are sent."""
        self._count = 0
        self._open: dict[int, str] = {}
        self._changed: frozenset[int] = NONE
        self._inherited: frozenset[int] = NONE
        """Channels with a batch of an earlier owner: it ends once all is replayed."""

    def inherit(self, found: Mapping[int, str]) -> None:
        """Take over the batches, by channel, that an earlier owner has left open."""
        self._open.update(found)
        self._inherited = self._inherited | frozenset(found) or NONE

    async def store(self, chat: int) -> bool:
        """Store that a batch is to be sent, if the channel is guarded.

        False: another node has the session, and the batch is not to be sent.
        """
        if chat in self.guarded:
            self.begin(chat)
            while chat in self._changed:
                if not await self._commit():
                    self._changed |= {chat}
                    return False
        return True

    def begin(self, chat: int) -> None:
        """Note that a batch is to be sent.

        One that is open already goes on: its messages are the first ones of this batch.
        """
        if chat not in self._open:
            self._count += 1
            self._open[chat] = f"{self._epoch}.{self._count}"
            self._changed |= {chat}

    def end(self, chat: int) -> None:
        """Note that all of a batch was answered; what is settled is linked."""
        if chat in self._open and chat not in self._inherited:
            del self._open[chat]
            self._changed |= {chat}

    @property
    def inherited(self) -> frozenset[int]:
        """The channels with a batch of an earlier owner."""
        return self._inherited

    def end_inherited(self, chat: int) -> None:
        """Note that all that an earlier owner may have sent is settled by now."""
        self._inherited = self._inherited - {chat} or NONE
        self.end(chat)

    def take(self) -> dict[int, str]:
        """Return what has changed since the last call, by channel; "" for no batch."""
        taken = {chat: self._open.get(chat, "") for chat in self._changed}
        self._changed = NONE
        return taken

    def put_back(self, taken: Mapping[int, str]) -> None:
        """Take back what could not be committed; what is newer stays."""
        self._changed = self._changed | frozenset(taken) or NONE

    def mark_all(self) -> None:
        """Let the next commit write all that is open."""
        self._changed = self._changed | frozenset(self._open) or NONE
