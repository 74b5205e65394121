"""How many requests of a kind an account makes: learned from the waits that Telegram asks for.

Telegram's limits are not published (api/errors, 420 FLOOD). So there is no budget until it
asks for a second wait within an hour: then the account makes half of the requests that it
made in its busiest minute before, and with each further one half of that. Each hour without
one doubles the budget; after some it is forgotten. What Telegram asks for is obeyed in any
case (see ``waits``); a budget avoids the next wait. Joining chats has a budget from the
start, since accounts are limited for it without a wait before.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from afx.cluster.budget_fields import (
    JOINS,
    StoredBudget,
    StoredJoins,
    budget_value,
    field_of,
    joins_value,
    parse_budget,
    parse_joins,
)
from afx.empty import NOTHING
from afx.node.ramp import Ramp

_ALL = 0
"""Stands for every destination."""
JOINS_PER_DAY = 10
JOINS_AT_ONCE = 3
_JOIN_PAUSE_SECONDS = (60.0, 300.0)
JOIN_METHODS = frozenset({"channels.JoinChannel", "messages.ImportChatInvite"})
_SHORTEST = 5.0
"""Shorter waits are the pace of a burst, and cost less than a budget would."""
_MINUTE, _HOUR, _DAY = 60.0, 3_600.0, 86_400.0
_LEAST_PER_MINUTE, _MOST_PER_MINUTE = 2.0, 99_999.0
_FORGOTTEN_HOURS = 6
_LONGEST_SECONDS = 7 * _DAY
_MOST = 200
"""Kinds of requests that are watched; the one that was told to wait first is forgotten."""


@dataclass(slots=True)
class _Watched:
    """A kind of requests for which Telegram has asked to wait."""

    until: float
    """When the last wait ends, or has ended."""
    per_minute: float = 0.0
    """The budget; 0: none."""
    tokens: float = 0.0
    at: float = 0.0
    """When there were so many tokens."""
    grown: int = 0
    """Hours since the last wait that have doubled the budget."""
    minute: float = 0.0
    """When the minute began that is counted."""
    count: int = 0
    busiest: int = 0

    def counted(self, now: float, count: int) -> None:
        if now - self.minute >= _MINUTE:
            self.minute, self.count = now, 0
        self.count += count
        self.busiest = max(self.busiest, self.count)


class Budgets:
    """The budgets of one account; times are in Unix seconds."""

    __slots__ = ("_changed", "_joins", "_now", "_ramp", "_random", "_watched")

    def __init__(self, now: Callable[[], float], rng: random.Random) -> None:
        self._now = now
        self._random = rng
        self._watched: Mapping[int | str, _Watched] = NOTHING
        self._joins: StoredJoins | None = None
        self._changed: tuple[int | str, ...] = ()
        self._ramp: Ramp | None = None

    def __bool__(self) -> bool:
        return bool(self._watched or self._ramp)

    def begin_slowly(self, since: float, seconds: float) -> None:
        """Let an account that was signed in then do little for so long (see ``ramp``)."""
        ramp = Ramp(since, seconds)
        self._ramp = None if ramp.is_over(self._now()) else ramp

    def load(self, fields: Mapping[str, str]) -> None:
        """Take over what is stored among the fields of a cursor; malformed ones are none.

        A budget begins empty: a restart is no new burst.
        """
        now = self._now()
        for name, text in fields.items():
            if not name.startswith("budget:"):
                continue
            if name == field_of(JOINS):
                joins = parse_joins(text)
                if joins is not None and joins.next < now + _DAY:
                    self._joins = joins
                continue
            found = parse_budget(name, text)
            if found is not None and found.until < now + _LONGEST_SECONDS:
                it = _Watched(found.until, found.per_minute, at=now)
                self._watched = {**self._watched, found.key: it}

    def note(self, key: int | str, seconds: float) -> None:
        """Learn of a wait that Telegram asks for."""
        if seconds < _SHORTEST:
            return
        now = self._now()
        it = self._watched.get(key)
        if it is None:
            others = list(self._watched.items())[1 - _MOST :]
            self._watched = {**dict(others), key: _Watched(now + seconds)}
            return
        if now < it.until:  # it was sent before the wait was known
            it.until = max(it.until, now + seconds)
            return
        if not self._grow(key, it, now):
            self._watched = {**self._watched, key: _Watched(now + seconds)}
            return
        if now - it.until <= _HOUR:
            before = it.per_minute or float(it.busiest)
            it.per_minute = max(_LEAST_PER_MINUTE, before / 2)
            it.tokens, it.at = 0.0, now + seconds
        if it.per_minute:
            self._changed = (*self._changed, key)
        it.until, it.grown, it.busiest, it.count = now + seconds, 0, 0, 0

    def left(self, key: int | str) -> float:
        """Return for how many seconds a budget allows no request."""
        if key in JOIN_METHODS:
            return self._join_left()
        now = self._now()
        slowly = ramp.left(now) if key == _ALL and (ramp := self._ramp_now()) else 0.0
        it = self._watched.get(key)
        if it is None or not self._refilled(key, it, now) or it.tokens >= 1:
            return slowly
        return max(slowly, (1 - it.tokens) * _MINUTE / it.per_minute + max(0.0, it.at - now))

    def room(self, key: int | str, most: int) -> int:
        """Return how many requests are allowed at once, up to so many."""
        if key == _ALL and (ramp := self._ramp_now()):
            most = ramp.room(self._now(), most)
        it = self._watched.get(key)
        if it is None or not self._refilled(key, it, self._now()):
            return most
        return min(most, max(0, int(it.tokens)))

    def take(self, key: int | str, count: int = 1) -> None:
        """Count requests that are made."""
        if key in JOIN_METHODS:
            self._take_join()
        if key == _ALL and (ramp := self._ramp_now()):
            ramp.take(self._now(), count)
        it = self._watched.get(key)
        if it is None:
            return
        now = self._now()
        if not it.per_minute and now - it.until > _HOUR:
            self._forget(key)
            return
        it.counted(now, count)
        if self._refilled(key, it, now):
            it.tokens -= count

    @property
    def is_changed(self) -> bool:
        """Whether ``fields`` has anything to return."""
        return bool(self._changed)

    def fields(self) -> list[str]:
        """Return what has changed, as field, value, … of the cursor's hash; empty: it goes."""
        changed, self._changed = dict.fromkeys(self._changed), ()
        return [text for key in changed for text in (field_of(key), self._value(key))]

    def mark_all(self) -> None:
        """Let ``fields`` return all that there is."""
        limited = [it for it, watched in self._watched.items() if watched.per_minute]
        self._changed = (*self._changed, *limited, *((JOINS,) if self._joins else ()))

    def _value(self, key: int | str) -> str:
        if key == JOINS:
            return joins_value(self._joins) if self._joins else ""
        it = self._watched.get(key)
        if it is None or not it.per_minute:
            return ""
        # As it was when the wait had ended: those who read it count the hours themselves.
        return budget_value(StoredBudget(key, it.per_minute / 2**it.grown, it.until))

    def _refilled(self, key: int | str, it: _Watched, now: float) -> bool:
        """Add the tokens of the time since; False: there is no budget, or no more."""
        if not it.per_minute or not self._grow(key, it, now):
            return False
        if now > it.at:
            it.tokens = min(it.per_minute, it.tokens + (now - it.at) * it.per_minute / _MINUTE)
            it.at = now
        return True

    def _grow(self, key: int | str, it: _Watched, now: float) -> bool:
        """Double the budget for each hour without a wait; False when it is forgotten."""
        hours = int(max(0.0, now - it.until) // _HOUR)
        if hours >= _FORGOTTEN_HOURS:
            self._forget(key)
            return False
        hours = max(hours, it.grown)  # a clock may be set back
        it.per_minute = min(_MOST_PER_MINUTE, it.per_minute * 2 ** (hours - it.grown))
        it.grown = hours
        return True

    def _ramp_now(self) -> Ramp | None:
        """Return the ramp of an account that is new."""
        if self._ramp and self._ramp.is_over(self._now()):
            self._ramp = None
        return self._ramp

    def _forget(self, key: int | str) -> None:
        self._watched = {k: v for k, v in self._watched.items() if k != key} or NOTHING
        self._changed = (*self._changed, key)

    # --- joins ------------------------------------------------------------------------

    def _joins_per_day(self) -> int:
        ramp = self._ramp_now()
        return min(JOINS_PER_DAY, ramp.joins_per_day(self._now())) if ramp else JOINS_PER_DAY

    def _joins_now(self) -> StoredJoins:
        now, most = self._now(), 1 if self._ramp_now() else JOINS_AT_ONCE
        it = self._joins
        if it is None:
            return StoredJoins(most, now, 0.0)
        gained = max(0.0, now - it.at) * self._joins_per_day() / _DAY
        return StoredJoins(min(most, it.left + gained), max(now, it.at), it.next)

    def _join_left(self) -> float:
        it = self._joins_now()
        for_token = max(0.0, 1 - it.left) * _DAY / self._joins_per_day()
        return max(for_token, it.next - self._now(), 0.0)

    def _take_join(self) -> None:
        it = self._joins_now()
        pause = self._random.uniform(*_JOIN_PAUSE_SECONDS)
        self._joins = StoredJoins(max(0.0, it.left - 1), it.at, self._now() + pause)
        self._changed = (*self._changed, JOINS)
