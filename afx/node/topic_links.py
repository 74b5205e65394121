"""Which topic of a destination a topic of a source has become: a link, as of a message.

A topic has the id of the message that made it (core.telegram.org/api/forum), so the copy of
that message is the topic at the destination.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from afx.cluster.links import CopyRoute
from afx.forwarding.pipeline import Delivery
from afx.node.admission import Admission


class TopicLinks:
    """The topics of one session's rules."""

    __slots__ = ("_admission", "made")

    def __init__(self, admission: Admission, made: Callable[[Delivery, int], None]) -> None:
        self._admission = admission
        self.made = made
        """Takes a topic that was made, and its id at the destination."""

    async def find(self, topics: Sequence[Delivery], *, complete: bool) -> list[int]:
        """Return the topic that each topic of a source has become; 0 for none.

        ``complete``: wait while Redis has lost links that SQL has. Without it a topic may be
        asked for once more, under its random id, and Telegram names the one that there is.
        """
        wanted = [(CopyRoute(it.rule, it.source, it.destination), it.message) for it in topics]
        return await self._admission.linked(wanted, complete=complete)

    async def is_copy(self, topic: Delivery) -> bool:
        """Return whether a source's topic was made for another topic, by any rule."""
        found = await self._admission.copies(topic.source, [topic.message])
        passed = found.get(topic.message)
        return bool(passed and (passed.is_own or topic.destination in passed.chats))
