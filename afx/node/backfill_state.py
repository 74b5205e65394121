"""How far a rule's old messages are sent to one destination, as the cursor hash has it.

A field ``backfill:RULE:DESTINATION`` is a text such as ``17:r:40:2;-1005:1:80:200``: for task 17,
which reads still, 40 messages have a copy and 2 were refused; of a source those from 1 to 200
are wanted, and those up to 80 were put into the outbox, or need no copy. ``s``: all of them
were; ``e``: all are settled; ``x``: it was given up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from afx.cluster.fields import INT32_LIMIT
from afx.node.references import Reference
from afx.telegram.session import MalformedPositionError

_FIELD = re.compile(r"backfill:([0-9]{1,10}):(-?[0-9]{1,19})", re.ASCII)
_HEAD = re.compile(r"([0-9]{1,18}):([rsex]):([0-9]{1,10}):([0-9]{1,10})", re.ASCII)
_RANGE = re.compile(r"(-?[0-9]{1,19}):([0-9]{1,10}):([0-9]{1,10}):([0-9]{1,10})", re.ASCII)
Key = tuple[int, int]
"""A rule, and a destination."""


class Stage(StrEnum):
    """How far a backfill is."""

    READS = "r"
    SENDS = "s"
    """All that is wanted was put into the outbox."""
    ENDED = "e"
    GIVEN_UP = "x"


@dataclass(slots=True)
class Range:
    """Messages of one source; chats are marked ids."""

    source: int
    first: int
    beyond: int
    """Up to this one they were put into the outbox, or need no copy."""
    to: int

    @property
    def is_read(self) -> bool:
        """Whether nothing of it is left to be read."""
        return self.beyond >= self.to


@dataclass(slots=True, eq=False)
class Backfill:
    """The old messages of one rule for one destination."""

    task: int
    rule: int
    destination: int
    ranges: list[Range]
    """Read one after another."""
    stage: Stage = Stage.READS
    copied: int = 0
    refused: int = 0
    waiting: dict[tuple[int, int], None] | None = field(default=None, repr=False)
    """(source, message) in the outbox, in order; None: that is not known after a restart."""
    reason: str = ""
    """Why it was given up, if that is known still."""
    seen: float | None = None
    """When its task has asked for it last, on the monotonic clock; None: not since the start."""
    publication: int = 0
    """Of the run of its task that has asked for it last; 0: none has since the start."""
    tries: int = 0
    """Reads in a row that have failed."""
    doubles: set[tuple[int, int]] = field(default_factory=set, repr=False)
    """(source, message) that were new when they were put into the outbox: they wait twice. After
    a restart it is not known which ones do; then their links settle the second."""
    is_frozen: bool = True
    """Its last messages are chosen; before that it reads nothing, and is not stored."""
    not_before: float = 0.0
    """When the next message is old enough for its rule's delay, in Unix seconds."""

    @property
    def is_over(self) -> bool:
        """Whether it is ended, or given up."""
        return self.stage in (Stage.ENDED, Stage.GIVEN_UP)

    @property
    def current(self) -> Range | None:
        """The range that is read now; None when all are."""
        return next((it for it in self.ranges if not it.is_read), None)

    def settled_up_to(self, it: Range) -> int:
        """Return up to which message of a range all are settled."""
        first = min((number for chat, number in self.waiting or () if chat == it.source), default=0)
        return first - 1 if first else it.beyond

    def has_read(self, source: int, message: int) -> bool:
        """Return whether a message lies in what was read: if it was there, it was put."""
        return any(it.source == source and it.first <= message <= it.beyond for it in self.ranges)

    def find_waiting(self, references: Iterable[Reference]) -> None:
        """Find among the outbox's references what an earlier run has put there."""
        self.waiting = {(it.source, it.message): None for it in references if self.has_put(it)}

    def has_put(self, it: Reference) -> bool:
        """Return whether it has put a reference into the outbox of its destination."""
        return it.old and it.rule == self.rule

    def take_back(self, references: Iterable[Reference]) -> None:
        """Note that references have left the outbox unsent: they are to be read once more."""
        gone = {(it.source, it.message) for it in references}
        self.doubles -= gone
        for one in gone:
            (self.waiting or {}).pop(one, None)
        for of in self.ranges:
            # Those before it are of another task, which has ended.
            its = (number for chat, number in gone if chat == of.source and number >= of.first)
            first = min(its, default=0)
            of.beyond = min(of.beyond, first - 1) if first else of.beyond

    def text(self) -> str:
        """Return it as it is stored."""
        head = f"{self.task}:{self.stage}:{self.copied}:{self.refused}"
        parts = [f"{it.source}:{it.first}:{it.beyond}:{it.to}" for it in self.ranges]
        return ";".join((head, *parts))


def take_backfills(fields: dict[str, str]) -> Mapping[Key, Backfill]:
    """Take what is stored out of a cursor's fields; raises MalformedPositionError."""
    found: dict[Key, Backfill] = {}
    for name in [it for it in fields if it.startswith("backfill:")]:
        head, *parts = fields.pop(name).split(";")
        match, of = _FIELD.fullmatch(name), _HEAD.fullmatch(head)
        ranges = list(_ranges(parts))
        if match is None or of is None or not ranges:
            raise MalformedPositionError(f"a backfill is stored as {name[:40]!r}")
        key = int(match[1]), int(match[2])
        counts = int(of[3]), int(of[4])
        found[key] = Backfill(int(of[1]), *key, ranges, Stage(of[2]), *counts)
    return found


def _ranges(parts: Iterable[str]) -> Iterable[Range]:
    for part in parts:
        match = _RANGE.fullmatch(part)
        numbers = list(map(int, match.groups())) if match else []
        if not numbers or abs(numbers[0]) >= 2**63 or max(numbers[1:]) >= INT32_LIMIT:
            raise MalformedPositionError(f"a backfill contains {part[:40]!r}")
        yield Range(*numbers)
