"""Sketches of the texts that a session's rules have taken lately: what is nearly the same.

They are stored as ``seen_contents`` are, in the fields ``near:RULE:NUMBER`` of the session's
cursor hash: base64 of entries of one width (file, when it came in Unix seconds, message, and
the hashes of the sketch, a smaller number of them filled up with zeros).
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from struct import Struct
from typing import NamedTuple

from afx.empty import NONE, NOTHING
from afx.forwarding.likeness import SKETCH, Sketch, likeness
from afx.telegram.session import MalformedPositionError

_CHUNK = 16
_CHUNKS = 32
"""Of each rule: 512 texts."""
_ENTRY = Struct(f">III{SKETCH}I")
_FIELD = re.compile(r"near:([0-9]{1,10}):([0-9]{1,12})", re.ASCII)


class NearText(NamedTuple):
    """A text that a rule has taken."""

    file: int
    """A hash of the file to which it is the caption; 0: of none."""
    at: int
    owner: int
    sketch: Sketch


class NearContents:
    """The sketches of one session's rules."""

    __slots__ = ("_dirty", "_rules", "_sent")

    def __init__(self) -> None:
        self._rules: Mapping[int, dict[int, list[NearText]]] = NOTHING
        """rule → its chunks, the oldest first."""
        self._dirty: frozenset[tuple[int, int]] = NONE
        self._sent: frozenset[tuple[int, int]] = NONE

    def load(self, fields: dict[str, str]) -> None:
        """Take what is stored out of a cursor's fields; raises MalformedPositionError."""
        found: dict[int, dict[int, list[NearText]]] = {}
        for name in [it for it in fields if it.startswith("near:")]:
            match = _FIELD.fullmatch(name)
            if match is None:
                raise MalformedPositionError(f"texts are stored as {name[:40]!r}")
            found.setdefault(int(match[1]), {})[int(match[2])] = _decode(name, fields.pop(name))
        for rule, chunks in found.items():
            # A copy in SQL may bring back older ones, which have left Redis already.
            kept = sorted(chunks)[-_CHUNKS:]
            self._dirty |= {(rule, it) for it in chunks if it not in kept}
            found[rule] = {it: chunks[it] for it in kept}
        self._rules = found or NOTHING

    def keep_rules(self, rules: Collection[int]) -> None:
        """Forget the texts of all other rules."""
        for rule in set(self._rules) - set(rules):
            self._dirty |= {(rule, number) for number in self._rules[rule]}
            self._rules = {it: of for it, of in self._rules.items() if it != rule}

    def has(self, rule: int, text: NearText, *, window: int, near: float) -> bool:
        """Return whether a rule has taken nearly the same text of another message lately."""
        return any(
            it.owner != text.owner
            and it.file == text.file
            and abs(text.at - it.at) < window
            and likeness(it.sketch, text.sketch) >= near
            for it in self._of(rule)
        )

    def add(self, rule: int, text: NearText) -> None:
        """Remember a text that a rule takes."""
        if rule not in self._rules:
            self._rules = {**self._rules, rule: {}}
        chunks = self._rules[rule]
        number = max(chunks, default=0)
        if len(chunks.get(number, ())) >= _CHUNK:
            number += 1
            if chunks.pop(number - _CHUNKS, None) is not None:
                self._dirty |= {(rule, number - _CHUNKS)}
        chunks.setdefault(number, []).append(text)
        self._dirty |= {(rule, number)}

    def forget(self, rule: int, owner: int) -> None:
        """A message was not forwarded: what is like it is no duplicate."""
        for number, chunk in self._rules.get(rule, {}).items():
            left = [it for it in chunk if it.owner != owner]
            if len(left) < len(chunk):
                self._rules[rule][number] = left
                self._dirty |= {(rule, number)}

    def _of(self, rule: int) -> Iterator[NearText]:
        for chunk in self._rules.get(rule, {}).values():
            yield from chunk

    # --- what is to be stored ----------------------------------------------------------

    def is_unstored(self, rules: Iterable[int]) -> bool:
        """Return whether texts of one of these rules are not stored yet."""
        if not self._dirty and not self._sent:
            return False
        return not {rule for rule, _ in (*self._dirty, *self._sent)}.isdisjoint(rules)

    def take_fields(self) -> list[str]:
        """Return what has changed since the last call, as field, value, …; "" for none."""
        self._sent, self._dirty = self._dirty, NONE
        return [
            text
            for rule, number in sorted(self._sent)
            for text in (
                f"near:{rule}:{number}",
                _encode(self._rules.get(rule, {}).get(number, ())),
            )
        ]

    def put_back(self) -> None:
        """What was taken last could not be stored."""
        self._dirty |= self._sent
        self._sent = NONE

    def note_committed(self) -> None:
        """What was taken last is stored."""
        self._sent = NONE

    def mark_all(self) -> None:
        """Let the next commit write all: Redis has lost its data."""
        self._dirty |= {(rule, it) for rule, of in self._rules.items() for it in of}


def _encode(chunk: Sequence[NearText]) -> str:
    rows = []
    for it in chunk:
        hashes = sorted(it.sketch)
        hashes += [0] * (SKETCH - len(hashes))
        rows.append(_ENTRY.pack(it.file, it.at, it.owner, *hashes))
    return b64encode(b"".join(rows)).decode()


def _decode(name: str, text: str) -> list[NearText]:
    try:
        data = b64decode(text, validate=True)
    except (Base64Error, ValueError) as error:
        raise MalformedPositionError(f"{name[:40]!r} is no list of texts") from error
    if not data or len(data) % _ENTRY.size or len(data) > _CHUNK * _ENTRY.size:
        raise MalformedPositionError(f"{name[:40]!r} is no list of texts")
    return [
        NearText(file, at, owner, frozenset(hashes) - {0})
        for file, at, owner, *hashes in _ENTRY.iter_unpack(data)
    ]
