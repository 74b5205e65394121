"""How an account that was signed in lately begins: with little, and with more each day.

Telegram puts accounts that sign in with unofficial clients under observation
(core.telegram.org/api/obtaining_api_id), and tells no limits. So it sends 20 messages a minute on
its first day, twice as many on each further one; it joins two chats on its first day, and one
more on each further one.
"""

from __future__ import annotations

from dataclasses import dataclass

FIRST_PER_MINUTE = 20.0
FIRST_JOINS_PER_DAY = 2
_BURST = 5.0
_DAY, _MINUTE = 86_400.0, 60.0
_MOST_DOUBLINGS = 12


@dataclass(slots=True)
class Ramp:
    """The first days of one login; times are in Unix seconds."""

    since: float
    seconds: float
    """For so long it is new."""
    tokens: float = _BURST
    at: float = 0.0
    """When there were so many tokens."""

    def is_over(self, now: float) -> bool:
        """Return whether the account is not new any more."""
        return now - self.since >= self.seconds

    def left(self, now: float) -> float:
        """Return for how many seconds nothing is sent."""
        rate = self._refill(now)
        return 0.0 if self.tokens >= 1 else (1 - self.tokens) * _MINUTE / rate

    def room(self, now: float, most: int) -> int:
        """Return how many messages may be sent at once, up to so many."""
        self._refill(now)
        return min(most, max(0, int(self.tokens)))

    def take(self, now: float, count: int) -> None:
        """Count messages that are sent."""
        self._refill(now)
        self.tokens -= count

    def joins_per_day(self, now: float) -> int:
        """Return how many chats it joins in a day."""
        return FIRST_JOINS_PER_DAY + self._day(now)

    def _day(self, now: float) -> int:
        return min(_MOST_DOUBLINGS, max(0, int((now - self.since) // _DAY)))

    def _refill(self, now: float) -> float:
        """Add the tokens of the time since; returns how many a minute brings."""
        rate = FIRST_PER_MINUTE * (1 << self._day(now))
        if self.at and now > self.at:
            self.tokens = min(rate, self.tokens + (now - self.at) * rate / _MINUTE)
        self.at = max(now, self.at)
        return rate
