"""What a forwarder needs of the session that it belongs to."""

from __future__ import annotations

from typing import Protocol

from afx.reasons import TroubleReason


class ForwarderOwner(Protocol):
    """The session that a forwarder belongs to."""

    def progressed(self) -> None:
        """There is something to commit."""

    async def store(self) -> bool:
        """Commit all that there is; waits until it is stored. False: another node has it."""

    def forwarded(self) -> None:
        """One message has been sent."""

    def lost(self, error: BaseException) -> None:
        """The connection, or the login, is lost."""

    def trouble(self, reason: TroubleReason, text: str) -> None:
        """Report what hinders the session."""

    def destination_closed(self, destination: int, reason: str) -> None:
        """A destination takes no messages; what is for it waits until ``try_again``."""

    def hindered(self, destination: int, text: str) -> None:
        """What is sent to a destination keeps failing, and why; "" when it does not any more."""

    def capped(self, rule: int, text: str) -> None:
        """Messages of a rule wait because of its caps, or do so no more ("")."""

    def senders_hindered(self, rule: int, text: str) -> None:
        """Something is wrong with the senders of a rule, or is no more ("")."""

    def destination_works(self, destination: int) -> None:
        """A message has arrived at a destination that was closed."""
