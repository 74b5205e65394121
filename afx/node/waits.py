"""Until when Telegram wants no requests of an account: sends to one destination, or to any,
or requests of another method. Lanes and tasks of a session share them.

Waits are absolute, and stored with the cursor: neither a pause nor a reconnect nor a
restart on another node shortens them. Telegram does not say whether a FLOOD_WAIT is of
one chat or of the account's method (api/errors, 420 FLOOD): when a second destination
is told to wait until the same moment, or a wait that was obeyed is followed by another one
while a second destination waits, it is taken for the account's.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping

from afx.empty import NOTHING
from afx.forwarding.outputs import is_output
from afx.node.budgets import JOIN_METHODS, Budgets
from afx.node.stuck import Stuck

ALL = 0
"""Stands for every destination; no chat has this id."""
_FIELD = re.compile(r"wait:(?:(-?[0-9]{1,19})|([a-z]{1,20}\.[A-Za-z]{1,60}))", re.ASCII)
_UNIX_TIME = re.compile(r"[0-9]{1,11}", re.ASCII)
_LONGEST_SECONDS = 7 * 86_400.0
"""A stored wait that is longer is malformed, or another node's clock is wrong."""
_SHORTEST_SHARED = 3.0
"""Shorter waits end before a second destination could learn from them."""
_SAME_SECONDS = 2.0
_RANDOM = random.Random()


class Waits:
    """The waits of one account; times are in Unix seconds."""

    __slots__ = ("_now", "_over", "_shared", "_until", "budgets", "stuck")

    def __init__(self, now: Callable[[], float], rng: random.Random = _RANDOM) -> None:
        """``now`` is the wall clock: other nodes read what is stored."""
        self._now = now
        self.budgets = Budgets(now, rng)
        self.stuck = Stuck(now)
        """Since when lanes send their first message in vain."""
        self._until: Mapping[int | str, float] = NOTHING
        """destination, or the name of a method → until when."""
        self._shared: Mapping[int, float] = NOTHING
        """The same of those waits that may be the account's."""
        self._over: tuple[int | str, ...] = ()
        """Waits that are stored, and over."""

    def load(self, fields: Mapping[str, str]) -> None:
        """Take over what is stored among the fields of a cursor; malformed waits are none."""
        self.budgets.load(fields)
        self.stuck.load(fields)
        now = self._now()
        for name, text in fields.items():
            match = _FIELD.fullmatch(name)
            if not match:
                continue
            key = match[2] or int(match[1])
            until = float(text) if _UNIX_TIME.fullmatch(text) else 0.0
            if now < until < now + _LONGEST_SECONDS:
                self._until = {**self._until, key: until}
            elif until <= now:
                self._over = (*self._over, key)

    def note(self, key: int | str, seconds: float, reason: str) -> bool:
        """Note that Telegram wants a wait; returns whether it is for all destinations.

        ``key`` is a destination, ``ALL``, or the name of a method that sends nothing.
        """
        now = self._now()
        until = now + seconds
        is_shared = False
        is_flood = reason.upper().startswith("FLOOD")  # Telethon's name, or Telegram's
        if isinstance(key, int) and key != ALL and is_flood and seconds >= _SHORTEST_SHARED:
            # One that was obeyed, and is followed by another at once, was made longer by what
            # was sent elsewhere: each destination's first send would lengthen it for ever.
            is_again = now - _SAME_SECONDS <= self._shared.get(key, 0.0) <= now
            is_shared = any(
                abs(until - other) <= _SAME_SECONDS or (is_again and other > now)
                for chat, other in self._shared.items()
                if chat != key
            )
            others = {it: time for it, time in self._shared.items() if time > now}
            self._shared = {**others, key: until}
        found = ALL if is_shared else key
        self._until = {**self._until, found: max(until, self._until.get(found, 0.0))}
        if is_flood:
            self.budgets.note(found, seconds)
        return found == ALL

    def left(self, key: int | str) -> float:
        """Return for how many seconds nothing may be sent to a destination, or asked for."""
        until = self._until.get(key, 0.0)
        # An account that is limited joins nothing, either.
        if _is_of_telegram(key) or key in JOIN_METHODS:
            until = max(until, self._until.get(ALL, 0.0))
        return max(0.0, until - self._now())

    def held(self, key: int | str) -> float:
        """Return for how many seconds nothing is to be asked for, by its budget, too."""
        left = max(self.left(key), self.budgets.left(key))
        return max(left, self.budgets.left(ALL)) if _is_of_telegram(key) else left

    def room(self, destination: int, most: int) -> int:
        """Return how many sends to a destination its budgets allow at once, up to so many."""
        if not self.budgets or is_output(destination):
            return most
        most = self.budgets.room(ALL, most)
        return self.budgets.room(destination, most)

    def take(self, key: int | str, count: int = 1) -> None:
        """Count requests that are made: sends to a destination, or of a method."""
        if isinstance(key, int) and is_output(key):
            return
        self.budgets.take(key, count)
        if isinstance(key, int) and key != ALL:
            self.budgets.take(ALL, count)

    def fields(self) -> list[str]:
        """Return what is to be stored, as field, value, … of the cursor's hash.

        The value of a field that goes is empty; one that stays by mistake is no wait to
        its readers.
        """
        budgets = [*self.budgets.fields(), *self.stuck.fields()]
        if not (self._until or self._over):
            return budgets
        now = self._now()
        self._over += tuple(it for it, until in self._until.items() if until <= now)
        self._until = {it: at for it, at in self._until.items() if at > now} or NOTHING
        over, self._over = self._over, ()
        stored = {**dict.fromkeys(over, ""), **{it: f"{at:.0f}" for it, at in self._until.items()}}
        waits = [text for it, value in stored.items() for text in (f"wait:{it}", value)]
        return waits + budgets


def _is_of_telegram(key: int | str) -> bool:
    """Return whether sends to a destination are the account's; an output's are not."""
    return isinstance(key, int) and not is_output(key)
