"""The letters by which stored references of an outbox say what is to be done (see ``outbox``).

``c`` is to be copied, ``f`` forwarded; a capital letter stands for messages that the rule's filter
has not judged yet. Of copies that are made, ``e`` are edited, ``d`` deleted, ``p`` pinned, ``u``
unpinned; ``t`` are topics of forums. An ``n`` is collected for a digest; ``g``, and each ``h``
behind it, are one message of a digest: what is in that is stored before it is sent (see
``digests``). A ``b``, or ``B`` in mode forward, is an old message of a backfill, not judged yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from afx.forwarding.pipeline import Op, Part
from afx.forwarding.rules import Mode

LETTERS = "cfCFedputnghNGHbB"
_MODES: Mapping[str, Mode] = {"c": "copy", "f": "forward", "b": "copy", "B": "forward"}
_OPS: Mapping[str, Op] = {"e": "edit", "d": "delete", "p": "pin", "u": "unpin", "t": "topic"}
_OF_OPS: Mapping[Op, str] = {op: letter for letter, op in _OPS.items()}
_PARTS: Mapping[str, Part] = {"n": "entry", "g": "first", "h": "rest"}
_OF_PARTS: Mapping[Part, str] = {part: letter for letter, part in _PARTS.items()}
CODES: Mapping[Op, int] = {"send": 0, "edit": 1, "delete": 2, "pin": 3, "unpin": 4, "topic": 5}
"""The numbers of what may be done, by which it is known what waits already."""


class Meaning(NamedTuple):
    """What a letter says of a reference."""

    mode: Mode
    judge: bool
    op: Op
    part: Part
    old: bool


def letter_of(mode: Mode, *, judge: bool, op: Op, part: Part, old: bool) -> str:
    """Return the letter of what is to be done."""
    if old and op == "send" and not part:
        return "b" if mode == "copy" else "B"
    letter = _OF_PARTS.get(part) or _OF_OPS.get(op) or mode[0]
    return letter.upper() if judge and op == "send" else letter


def meaning_of(letter: str) -> Meaning:
    """Return what a letter says."""
    old = letter in "bB"
    mode = _MODES.get(letter if old else letter.lower(), "copy")
    part = _PARTS.get(letter.lower(), "")
    return Meaning(mode, old or letter.isupper(), _OPS.get(letter, "send"), part, old)
