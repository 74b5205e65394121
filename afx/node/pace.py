"""What the parts of a lane tell it: that it has to wait, and that something has left."""

from __future__ import annotations

from typing import Protocol

from afx.reasons import TroubleReason


class Pace(Protocol):
    """The lane that is sent: it knows when."""

    @property
    def may_send(self) -> bool:
        """Whether nothing holds up the next batch."""

    def pause(self) -> None:
        """Start no new batch: the session is ending here."""

    def wait(self, seconds: float) -> None:
        """Start no batch for a time."""

    def park(self) -> None:
        """Give what is held to the outbox: what is first takes long."""

    def hold(self, seconds: float) -> None:
        """Wait for the rest of an album, unless something comes before."""

    def back_off(self, reason: TroubleReason | None = None, text: str = "") -> None:
        """Wait, longer each time; what keeps failing is reported."""

    def passed(self) -> None:
        """A delivery has left for good."""

    def close(self, reason: str) -> None:
        """The destination takes no messages."""
