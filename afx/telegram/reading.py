"""What those who read updates need of the session that they read for."""

from __future__ import annotations

from typing import Any, Protocol

from afx.forwarding.changes import Change
from afx.forwarding.pipeline import Incoming
from afx.reasons import TroubleReason
from afx.telegram.boxes import Box

Event = Incoming | Change | None
"""What an update tells: a new message, a change, or nothing that is forwarded."""


class Sink(Protocol):
    """Takes what the reader reads."""

    def take(self, box: Box, pts: int, event: Event, own: bool) -> Any:
        """Take the next update of a box; ``pts`` is 0 inside a slice."""

    def note_own(self, message: Incoming) -> None:
        """Learn of a message that this session has just sent itself."""

    def announce(self, random_id: int, message_id: int) -> None:
        """Learn which message a send has made whose answer may have been lost."""

    def make_room(self) -> None:
        """Settle what is open: the reader waits for it."""


class Owner(Protocol):
    """The session that a reader belongs to."""

    def trouble(self, reason: TroubleReason, text: str) -> None:
        """Report what hinders the session."""

    def source_closed(self, channel: int, reason: str) -> None:
        """A source channel, by its bare id, cannot be read any more."""

    def lost(self, error: BaseException) -> None:
        """Act on a connection or a login that is lost."""
