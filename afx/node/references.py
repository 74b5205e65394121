"""References to the deliveries that wait in an outbox, and the texts as which they are stored.

A chunk is a text such as ``7:c:-1005:1-3,9;8:f:-1006:4``: of rule 7, in mode copy, the messages
1 to 3 and 9 of a source, and then another one. A capital letter stands for messages that the
rule's filter has not judged yet; ``e``, ``d``, ``p`` and ``u`` for copies that are to be edited,
deleted, pinned and unpinned, ``t`` for topics of forums. Behind an ``@`` stands from when on it is
to be done, in Unix seconds, and a ``+`` stands behind the letter of what is of the album of the
one before it: only queues of what is postponed have that (see ``postponed``). An ``n`` is
collected for a digest; ``g``, and each ``h`` behind it, are one message of a digest: what is in
that is stored before it is sent (see ``digests``). A ``b``, or ``B`` in mode forward, is an old
message that a backfill has put there, not judged yet (see ``backfill_reader``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from afx.cluster.fields import INT32_LIMIT
from afx.forwarding.pipeline import Delivery, Op, Part, random_id
from afx.forwarding.rules import Mode
from afx.telegram.session import MalformedPositionError

CHUNK = 256
"""The most references of one chunk."""
_RUN = re.compile(
    r"([0-9]{1,10}):([cfCFedputnghNGHbB]\+?):(-?[0-9]{1,19}):([0-9,-]+)(?:@([0-9]{1,11}))?",
    re.ASCII,
)
_IDS = re.compile(r"([0-9]{1,10})(?:-([0-9]{1,10}))?", re.ASCII)
_MODES: Mapping[str, Mode] = {"c": "copy", "f": "forward"}
_OLD: Mapping[str, Mode] = {"b": "copy", "B": "forward"}
_OLD_LETTERS: Mapping[Mode, str] = {mode: letter for letter, mode in _OLD.items()}
_OPS: Mapping[str, Op] = {"e": "edit", "d": "delete", "p": "pin", "u": "unpin", "t": "topic"}
_LETTERS: Mapping[Op, str] = {op: letter for letter, op in _OPS.items()}
_PARTS: Mapping[str, Part] = {"n": "entry", "g": "first", "h": "rest"}
_PART_LETTERS: Mapping[Part, str] = {part: letter for letter, part in _PARTS.items()}
_CODES: Mapping[Op, int] = {"send": 0, "edit": 1, "delete": 2, "pin": 3, "unpin": 4, "topic": 5}
_RETRIED = "it is retried"
OLD = "it is an old message of a backfill"
"""What a backfill says of what it puts into an outbox."""


class Reference(NamedTuple):
    """One delivery of an outbox; chats are marked ids."""

    rule: int
    mode: Mode
    source: int
    message: int
    judge: bool = False
    """The rule's filter has not judged it yet."""
    op: Op = "send"
    due: int = 0
    """Not before that, in Unix seconds."""
    joined: bool = False
    """It is of the album of the one before it, and is released together with that."""
    part: Part = ""
    """What it is of a digest."""
    old: bool = False
    """A backfill has put it here, and takes it out again when it is ended."""

    @property
    def group(self) -> int:
        """The number of its rule and of what is to be done."""
        return self.rule * 8 + _CODES[self.op]

    def delivery(self, destination: int) -> Delivery:
        """Return its delivery, without the content."""
        number = random_id(self.rule, self.source, self.message, destination)
        return Delivery(
            self.rule,
            self.mode,
            self.source,
            self.message,
            destination,
            number,
            "",
            (),
            False,
            unjudged=OLD if self.old else _RETRIED if self.judge else "",
            op=self.op,
            part=self.part and "entry",
        )


def reference_to(it: Delivery, due: int = 0) -> Reference:
    """Return the reference to a delivery; ``due``: not before that, in Unix seconds."""
    part: Part = "entry" if it.part and it.op == "send" else ""
    mode: Mode = "copy" if part else it.mode  # a digest is written anew
    judge, old = bool(it.unjudged), it.unjudged == OLD
    return Reference(it.rule, mode, it.source, it.message, judge, it.op, due, part=part, old=old)


def encode(references: Iterable[Reference]) -> str:
    """Return references as they are stored."""
    runs: list[tuple[tuple[int, str, int, int], list[tuple[int, int]]]] = []
    for rule, mode, source, message, judge, op, due, joined, part, old in references:
        letter = _PART_LETTERS.get(part) or _LETTERS.get(op) or mode[0]
        if op == "send" and judge:
            letter = _OLD_LETTERS[mode] if old and not part else letter.upper()
        letter += "+" if joined else ""
        key = (rule, letter, source, due)
        if not runs or runs[-1][0] != key:
            runs.append((key, [(message, message)]))
            continue
        first, last = runs[-1][1][-1]
        if message == last + 1:
            runs[-1][1][-1] = (first, message)
        else:
            runs[-1][1].append((message, message))
    return ";".join(
        f"{rule}:{mode}:{source}:"
        + ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ids)
        + (f"@{due}" if due else "")
        for (rule, mode, source, due), ids in runs
    )


def decode(text: str) -> list[Reference]:
    """Return stored references; raises MalformedPositionError."""
    found: list[Reference] = []
    for part in text.split(";"):
        run = _RUN.fullmatch(part)
        for ids in run[4].split(",") if run else [""]:
            match = _IDS.fullmatch(ids)
            if run is None or match is None:
                raise MalformedPositionError(f"an outbox contains {part[:40]!r}")
            first, last = int(match[1]), int(match[2] or match[1])
            if last < first or last >= INT32_LIMIT or abs(int(run[3])) >= 2**63:
                raise MalformedPositionError(f"an outbox contains no ids: {part[:40]!r}")
            if last - first >= CHUNK or len(found) >= CHUNK:
                raise MalformedPositionError(f"an outbox contains too much: {part[:40]!r}")
            rule, letter, source = int(run[1]), run[2][0], int(run[3])
            old, op = letter in _OLD, _OPS.get(letter, "send")
            mode = _OLD.get(letter) or _MODES.get(letter.lower(), "copy")
            judge = old or letter.isupper()
            of_digest = _PARTS.get(letter.lower(), "")
            due, is_joined = int(run[5] or 0), len(run[2]) > 1
            found += [
                Reference(rule, mode, source, it, judge, op, due, is_joined, of_digest, old)
                for it in range(first, last + 1)
            ]
    return found
