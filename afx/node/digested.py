"""Up to where messages were sent in digests: no later option may change a digest as a copy.

Each message of a digest is linked to it (see ``digests``). If its rule gives up digests and
follows edits or deletes, one of an old message is not made in the whole digest. The fields
``digested:RULE:SOURCE`` of a session's cursor hash have the newest message of each source.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from afx.empty import NONE, NOTHING
from afx.forwarding.pipeline import Delivery
from afx.telegram.session import MalformedPositionError

_FIELD = re.compile(r"digested:([0-9]{1,10}):(-?[0-9]{1,19})", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,10}", re.ASCII)

Key = tuple[int, int]
"""A rule and a source."""


class Digested:
    """The newest messages of one session that were sent in digests."""

    __slots__ = ("_dirty", "_newest", "_sent")

    def __init__(self) -> None:
        self._newest: Mapping[Key, int] = NOTHING
        self._dirty: frozenset[Key] = NONE
        self._sent: frozenset[Key] = NONE
        """Those of the commit that is under way."""

    def load(self, fields: dict[str, str]) -> None:
        """Take what is stored out of a cursor's fields; raises MalformedPositionError."""
        found: dict[Key, int] = {}
        for name in [it for it in fields if it.startswith("digested:")]:
            match, text = _FIELD.fullmatch(name), fields.pop(name)
            if match is None or not _NUMBER.fullmatch(text):
                raise MalformedPositionError(f"what is in digests is stored as {name[:40]!r}")
            found[int(match[1]), int(match[2])] = int(text)
        self._newest = found or NOTHING

    def note(self, it: Delivery) -> None:
        """Note that a message is in a digest that was sent."""
        key = (it.rule, it.source)
        if it.message > self._newest.get(key, 0):
            self._newest = {**self._newest, key: it.message}
            self._dirty = self._dirty | {key}

    def covers(self, it: Delivery) -> bool:
        """Return whether the copy of a message may be a digest."""
        return it.message <= self._newest.get((it.rule, it.source), 0)

    # --- what is to be stored --------------------------------------------------------------

    def take_fields(self) -> list[str]:
        """Return what has changed since the last call, as field, value, …."""
        self._sent, self._dirty = self._dirty, NONE
        return [
            text
            for rule, source in sorted(self._sent)
            for text in (f"digested:{rule}:{source}", str(self._newest[rule, source]))
        ]

    def put_back(self) -> None:
        """What was taken last could not be stored."""
        self._dirty, self._sent = self._dirty | self._sent, NONE

    def mark_all(self) -> None:
        """Let the next commit write all: Redis has lost its data."""
        self._dirty = frozenset(self._newest) or NONE
