"""The lanes of pools for which the session itself may have sent, before they got senders.

What it has sent without an answer, no other account may send: it asks again itself, by the same
random ids. It may have ended in between, and its rule have got senders meanwhile, so that the lanes
that are its senders' alone are stored in the session's cursor, as ``pool:RULE:DESTINATION``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Set

from afx.cluster.pools import PoolLane
from afx.empty import NONE
from afx.telegram.session import MalformedPositionError

_FIELD = re.compile(r"pool:([0-9]{1,10}):(-[0-9]{1,19})", re.ASCII)


class OwnSends:
    """What one session may have sent itself, of its rules with senders."""

    __slots__ = ("_before", "_has_run", "_is_loaded", "_lanes", "_taken", "inherited", "open")

    def __init__(self) -> None:
        self._lanes: frozenset[PoolLane] = NONE
        """All lanes with senders, or those that are stored until they are known."""
        self._taken: frozenset[PoolLane] = NONE
        """Those that are stored."""
        self._before: frozenset[PoolLane] = NONE
        self._is_loaded = False
        self._has_run = False
        """An earlier run may have sent, and not all of that is settled."""
        self.open: frozenset[PoolLane] = NONE
        """Lanes of which something may be under way that the session has sent itself."""
        self.inherited: frozenset[PoolLane] = NONE
        """Those for which an earlier run may have sent: the session sends for them itself."""

    def load(self, fields: dict[str, str]) -> None:
        """Take what is stored out of a cursor's fields; raises MalformedPositionError."""
        found = set()
        for name in [it for it in fields if it.startswith("pool:")]:
            match = _FIELD.fullmatch(name)
            if match is None or fields.pop(name) != "1":
                raise MalformedPositionError(f"a lane with senders is stored as {name[:40]!r}")
            found.add(PoolLane(int(match[1]), int(match[2])))
        if not self._is_loaded:
            self._is_loaded, self._has_run = True, bool(fields)
            self._lanes = self._taken = self._before = frozenset(found) or NONE

    def use(self, lanes: Iterable[PoolLane], begun: Set[PoolLane]) -> None:
        """Know the lanes with senders; of ``begun`` ones the session has something under way."""
        before, self._lanes = self._lanes, frozenset(lanes) or NONE
        new = self._lanes - before
        earlier = new if self._has_run else NONE
        self.inherited = (self.inherited & self._lanes) | earlier or NONE
        self.open = (self.open & self._lanes) | earlier | (new & begun) or NONE

    def end(self, lanes: Iterable[PoolLane]) -> None:
        """Note that nothing is under way in some lanes that the session has sent itself."""
        ended = set(lanes)
        self.inherited = self.inherited - ended or NONE
        self.open = self.open - ended or NONE

    @property
    def is_settled(self) -> bool:
        """Whether nothing is under way any more that the session, or an earlier run, has sent."""
        return not self._has_run and not self.open

    def end_earlier(self) -> None:
        """Note that all is settled that an earlier run may have sent, to whatever lane."""
        self._has_run = False

    # --- what is to be stored --------------------------------------------------------------

    def is_unstored(self, rules: Iterable[int]) -> bool:
        """Return whether lanes are stored as their senders' alone for which the session sends.

        They are of one of these rules; call it before a send.
        """
        if not self._taken and not self._before:
            return False
        wanted = set(rules)
        own = (self._taken | self._before) - (self._lanes - self.open)
        return any(it.rule in wanted for it in own)

    def take_fields(self) -> list[str]:
        """Return what has changed since the last call, as field, value, …; "" for none."""
        self._before, self._taken = self._taken, self._lanes - self.open or NONE
        return [
            text
            for it in sorted(self._before ^ self._taken)
            for text in (f"pool:{it.rule}:{it.destination}", "1" if it in self._taken else "")
        ]

    def put_back(self) -> None:
        """What was taken last could not be stored."""
        self._taken = self._before

    def mark_all(self) -> None:
        """Let the next commit write all: Redis has lost its data."""
        self._taken = NONE
