"""Since when the first message of a lane is sent in vain, stored with its session.

A lane gives such a message up after an hour (``vain_tries``). Without this the hour would begin
again with each restart of the session, and each move.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from afx.empty import NOTHING

_FIELD = re.compile(r"stuck:(-?[0-9]{1,19})", re.ASCII)
_VALUE = re.compile(
    r"([0-9]{1,10}):(-?[0-9]{1,19}):([0-9]{1,10}):((?:read )?(?:send|edit|delete|pin|unpin|topic))"
    r":([0-9]{1,10}):([0-9]{1,6})",
    re.ASCII,
)
_LONGEST_SECONDS = 7 * 86_400.0
_MOST_TRIES = 999_999

Key = tuple[int, int, int, str]
"""A rule, a source, a message of it, and what is to be done."""


class Beginning(NamedTuple):
    """How it began."""

    key: Key
    since: float
    """In Unix seconds: other nodes read it."""
    tries: int


class Stuck:
    """The beginnings of one session's lanes, by destination."""

    __slots__ = ("_known", "_now", "_over")

    def __init__(self, now: Callable[[], float]) -> None:
        """``now`` is the wall clock."""
        self._now = now
        self._known: Mapping[int, Beginning] = NOTHING
        self._over: tuple[int, ...] = ()
        """Lanes of which something is stored that is over."""

    def load(self, fields: Mapping[str, str]) -> None:
        """Take over what is stored among the fields of a cursor; what is malformed is none."""
        now = self._now()
        for name, text in fields.items():
            if not (match := _FIELD.fullmatch(name)):
                continue
            destination, found = int(match[1]), _VALUE.fullmatch(text)
            if found and now - _LONGEST_SECONDS < (since := float(found[5])) <= now:
                key = int(found[1]), int(found[2]), int(found[3]), found[4]
                beginning = Beginning(key, since, int(found[6]))
                self._known = {**self._known, destination: beginning}
            else:
                self._over = (*self._over, destination)

    def note(self, destination: int, key: Key, tries: int) -> None:
        """Note that the first of a lane has failed once more, and how often it has."""
        before = self._known.get(destination)
        since = before.since if before is not None and before.key == key else self._now()
        made = Beginning(key, since, min(tries, _MOST_TRIES))
        self._known = {**self._known, destination: made}

    def before(self, destination: int, key: Key) -> tuple[float, int]:
        """Return for how many seconds the first of a lane has failed, and how often."""
        found = self._known.get(destination)
        if found is None or found.key != key:
            return 0.0, 0
        return max(0.0, self._now() - found.since), found.tries

    def end(self, destination: int) -> None:
        """The first of a lane has left for good."""
        if destination in self._known:
            left = {it: at for it, at in self._known.items() if it != destination}
            self._known = left or NOTHING
            self._over = (*self._over, destination)

    def fields(self) -> list[str]:
        """Return what is to be stored, as field, value, … of the cursor's hash."""
        if not (self._known or self._over):
            return []
        over, self._over = self._over, ()
        values = {
            it: f"{':'.join(map(str, found.key))}:{found.since:.0f}:{found.tries}"
            for it, found in self._known.items()
        }
        stored = {**dict.fromkeys(over, ""), **values}
        return [text for it, value in stored.items() for text in (f"stuck:{it}", value)]
