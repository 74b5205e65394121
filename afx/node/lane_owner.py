"""What a lane needs of the forwarder that it belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from afx.forwarding.pipeline import Delivery
from afx.node.outbox_reader import Found
from afx.node.pools import Pools
from afx.node.postponed import Postponed
from afx.node.references import Reference
from afx.node.topic_links import TopicLinks
from afx.node.waits import Waits
from afx.reasons import TroubleReason
from afx.telegram.boxes import Ticket
from afx.telegram.sender import Outcome
from afx.telegram.transfers import Transfers


class LaneOwner(Protocol):
    """The forwarder that a lane belongs to."""

    waits: Waits
    """Until when nothing is to be sent, and how much may be."""
    pools: Pools
    """What other sessions send."""
    later: Postponed
    """What is not to be made yet."""
    topics: TopicLinks
    """What topics of sources have become."""
    transfers: Transfers
    """The files that are uploaded anew."""

    def settled(self, delivery: Delivery, ticket: Ticket, outcome: Outcome) -> None:
        """A delivery has left its lane for good."""

    def lost(self, error: BaseException) -> None:
        """The connection, or the login, is lost."""

    def trouble(self, reason: TroubleReason, text: str) -> None:
        """Report what hinders the lane."""

    def stored(self, ticket: Ticket) -> None:
        """A delivery is in the outbox: its message need not wait for it."""

    async def contents(self, destination: int, references: Sequence[Reference]) -> Found:
        """Return the deliveries of an outbox's references; an outcome if not to be sent.

        Raises ToldToWaitError.
        """

    async def is_stored(self, batch: Sequence[Delivery]) -> bool:
        """Store what has to be stored before some sends; False: another node has the session."""

    async def find_copies(self, batch: Sequence[Delivery]) -> None:
        """Tell changes which copies they are of; waits while that cannot be known.

        Sends learn which copies they answer.
        """

    async def read(self, chat: int, ids: Sequence[int]) -> Sequence[Any]:
        """Read messages anew, without those that are gone. Raises ToldToWaitError."""

    def destination_closed(self, destination: int, reason: str) -> None:
        """A destination takes no messages; its lane waits until ``try_again``."""

    def hindered(self, destination: int, text: str) -> None:
        """What is sent to a destination keeps failing, and why; "" when it does not any more."""

    def told_to_wait(self, destination: int, outcome: Outcome) -> None:
        """Telegram wants no sends for a time, to this destination or to any."""
