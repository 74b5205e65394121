"""How long a lane tries to read what its outbox refers to, and when it gives up.

A refusal may pass (an account that is a member again, a server that errs). So what cannot
be read is asked for again, with a pause each time. A refusal of one message hides those
beside it: fewer are asked for at once, until it is alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from afx.reasons import DeadReason

Step = Literal["narrow", "later", "give up"]
ROUND = 200
"""References whose messages are fetched at once (method/channels.getMessages)."""
MOST_TRIES = 14
"""With the lane's pauses, about eight minutes: a closed chat is tried once more meanwhile (see
``rule_watch``)."""
_IN_ROW = 3
"""Messages given up of one source; after so many the next ones are tried once each."""
_WHOLE_SOURCE = 50
"""After so many it is the source, and no message of it is tried by itself."""


class Patience:
    """What one lane has tried in vain."""

    __slots__ = ("_given_up", "size", "tries")

    def __init__(self) -> None:
        self.size = ROUND
        """How many references to ask for next."""
        self.tries = 0
        """How often the first one was asked for in vain."""
        self._given_up: dict[int, int] = {}
        """source → messages given up since one of it was read."""

    def passed(self, sources: Iterable[int]) -> None:
        """Messages of these sources were read."""
        self.tries = 0
        self.size = min(ROUND, self.size * 2)
        if self._given_up:
            for it in sources:
                self._given_up.pop(it, None)

    def refused(self, source: int, reason: DeadReason, count: int) -> Step:
        """Return what to do about a first message that was refused among ``count``.

        ``reason`` is what it is given up for.
        """
        given_up = self._given_up.get(source, 0)
        of_message = reason is DeadReason.MESSAGE_UNREADABLE and given_up < _WHOLE_SOURCE
        if of_message and self.narrow(count):
            return "narrow"
        self.tries += 1
        most = MOST_TRIES if given_up < (_IN_ROW if of_message else 1) else 1
        if self.tries < most:
            return "later"
        self._given_up[source] = given_up + 1
        if not of_message:
            self.size = min(ROUND, self.size * 2)
        return "give up"

    def narrow(self, count: int) -> bool:
        """Ask for fewer at once; False where only one was asked for."""
        if count > 1:
            self.size = count // 2
        return count > 1

    def settled(self, source: int, *, is_read: bool) -> None:
        """The first message has left for good."""
        self.tries = 0
        if is_read and self._given_up:
            self._given_up.pop(source, None)
