"""How long Telegram has sent no update."""

from __future__ import annotations

from afx.clock import Clock

SILENCE_SECONDS = 900.0
"""So long without an update calls for the account's difference (api/updates)."""


class Silence:
    """Measures the time since a count of updates last rose."""

    __slots__ = ("_clock", "_received", "_since")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._received = 0
        self._since = clock.monotonic()

    def is_over(self, received: int) -> bool:
        """Return whether no update has arrived for long; if so, the time begins again."""
        now = self._clock.monotonic()
        if received != self._received:
            self._received, self._since = received, now
        if now - self._since < SILENCE_SECONDS:
            return False
        self._since = now
        return True
