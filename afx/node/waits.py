"""Until when Telegram wants no sends of an account: to one destination, or to any.

Waits are absolute, and stored with the cursor: neither a pause nor a reconnect nor a
restart on another node shortens them. Telegram does not say whether a FLOOD_WAIT is of
one chat or of the account's method (api/errors, 420 FLOOD): when a second destination
is told to wait until the same moment, it is taken for the account's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

ALL = 0
"""Stands for every destination; no chat has this id."""
_FIELD = re.compile(r"wait:(-?[0-9]{1,19})", re.ASCII)
_UNIX_TIME = re.compile(r"[0-9]{1,11}", re.ASCII)
_LONGEST_SECONDS = 7 * 86_400.0
"""A stored wait that is longer is malformed, or another node's clock is wrong."""
_SHORTEST_SHARED = 3.0
"""Shorter waits end before a second destination could learn from them."""
_SAME_SECONDS = 2.0


class Waits:
    """The waits of one account; times are in Unix seconds."""

    __slots__ = ("_now", "_shared", "_until")

    def __init__(self, now: Callable[[], float]) -> None:
        """``now`` is the wall clock: other nodes read what is stored."""
        self._now = now
        self._until: dict[int, float] = {}
        """destination → until when."""
        self._shared: dict[int, float] = {}
        """The same of those waits that may be the account's."""

    def load(self, fields: Mapping[str, str]) -> None:
        """Take over what is stored among the fields of a cursor; malformed waits are none."""
        now = self._now()
        for name, text in fields.items():
            match = _FIELD.fullmatch(name)
            if match and _UNIX_TIME.fullmatch(text) and now < int(text) < now + _LONGEST_SECONDS:
                self._until[int(match[1])] = float(text)

    def note(self, destination: int, seconds: float, reason: str) -> bool:
        """Note that Telegram wants a wait; returns whether it is for all destinations."""
        now = self._now()
        until = now + seconds
        is_shared = False
        is_flood = reason.upper().startswith("FLOOD")  # Telethon's name, or Telegram's
        if destination != ALL and is_flood and seconds >= _SHORTEST_SHARED:
            is_shared = any(
                abs(until - other) <= _SAME_SECONDS
                for chat, other in self._shared.items()
                if chat != destination
            )
            self._shared = {it: time for it, time in self._shared.items() if time > now}
            self._shared[destination] = until
        found = ALL if is_shared else destination
        self._until[found] = max(until, self._until.get(found, 0.0))
        return found == ALL

    def left(self, destination: int) -> float:
        """Return for how many seconds nothing may be sent to a destination."""
        until = max(self._until.get(destination, 0.0), self._until.get(ALL, 0.0))
        return max(0.0, until - self._now())

    def fields(self) -> list[str]:
        """Return what is to be stored, as field, value, … of the cursor's hash."""
        now = self._now()
        # One that is over was stored before, and is no wait to its readers.
        self._until = {it: until for it, until in self._until.items() if until > now}
        return [
            text for it, until in self._until.items() for text in (f"wait:{it}", f"{until:.0f}")
        ]
