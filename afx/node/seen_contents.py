"""Which contents a session's rules have taken lately, so that each is forwarded once.

A content belongs to the message that it came with first: that one is no duplicate of itself,
however often it is replayed. The contents are stored with the cursor, and before what they
came with is sent: so neither a crash nor a move forwards a second message of the same content.

A rule's contents lie in chunks, fields ``seen:RULE:NUMBER`` of the session's cursor hash; of each
rule the last ones are kept. A chunk is base64 of entries of fixed width: hash of the content,
when it came (Unix seconds), hash of the message.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from struct import Struct
from typing import NamedTuple

from afx.empty import NONE, NOTHING
from afx.forwarding.dedupe import Dedupe
from afx.forwarding.likeness import sketch_of
from afx.forwarding.pipeline import Incoming
from afx.forwarding.rules import ResolvedRule, Route
from afx.node.near_contents import NearContents, NearText
from afx.telegram.contents import DIGEST_BYTES, content_digest, file_number, words_of
from afx.telegram.session import MalformedPositionError

_CHUNK = 64
_CHUNKS = 32
"""Of each rule: 2,048 contents."""
_ENTRY = Struct(f">{DIGEST_BYTES}sII")
_MESSAGE = Struct(">qq")
_FIELD = re.compile(r"seen:([0-9]{1,10}):([0-9]{1,12})", re.ASCII)


class _Entry(NamedTuple):
    digest: bytes
    at: int
    owner: int


@dataclass(slots=True)
class _Contents:
    """Those of one rule."""

    chunks: dict[int, list[_Entry]] = field(default_factory=dict)
    entries: dict[bytes, _Entry] = field(default_factory=dict)
    """The newest entry of each content."""
    number: int = 0
    """The chunk that is being filled."""

    def add(self, entry: _Entry) -> list[int]:
        """Add an entry; returns the numbers of the chunks that have changed."""
        changed = []
        if len(self.chunks.get(self.number, ())) >= _CHUNK:
            self.number += 1
            changed += self._forget(self.number - _CHUNKS)
        self.chunks.setdefault(self.number, []).append(entry)
        self.entries[entry.digest] = entry
        return [*changed, self.number]

    def remove(self, owner: int) -> list[int]:
        """Take out the entries of a message; returns the numbers of the chunks that changed."""
        changed = []
        for number, chunk in self.chunks.items():
            left = [it for it in chunk if it.owner != owner]
            if len(left) < len(chunk):
                self.chunks[number] = left
                changed.append(number)
        if changed:
            self.entries = {it.digest: it for it in self.entries.values() if it.owner != owner}
        return changed

    def _forget(self, number: int) -> list[int]:
        gone = self.chunks.pop(number, None)
        for it in gone or ():
            if self.entries.get(it.digest) is it:
                del self.entries[it.digest]
        return [] if gone is None else [number]


class SeenContents:
    """The contents that the rules of one session have taken."""

    __slots__ = ("_dirty", "_doubled", "_near", "_now", "_options", "_rules", "_sent")

    def __init__(
        self, now: Callable[[], float], doubled: Callable[[Collection[int]], None]
    ) -> None:
        """``now`` is the wall clock: other nodes read what is stored.

        ``doubled`` is told of the rules for which a message is a duplicate.
        """
        self._now = now
        self._doubled = doubled
        self._near = NearContents()
        self._options: Mapping[int, Dedupe] = NOTHING
        """rule → what is a duplicate, and for how long."""
        self._rules: Mapping[int, _Contents] = NOTHING
        self._dirty: frozenset[tuple[int, int]] = NONE
        """(rule, chunk) that are to be stored."""
        self._sent: frozenset[tuple[int, int]] = NONE
        """Those of the commit that is under way."""

    def load(self, fields: dict[str, str]) -> None:
        """Take the stored contents out of a cursor's fields; raises MalformedPositionError."""
        found: dict[int, dict[int, list[_Entry]]] = {}
        for name in [it for it in fields if it.startswith("seen:")]:
            match = _FIELD.fullmatch(name)
            if match is None:
                raise MalformedPositionError(f"contents are stored as {name[:40]!r}")
            found.setdefault(int(match[1]), {})[int(match[2])] = _decode(name, fields.pop(name))
        rules = {}
        for rule, chunks in found.items():
            # A copy in SQL may bring back older ones, which have left Redis already.
            kept = sorted(chunks)[-_CHUNKS:]
            self._dirty |= {(rule, it) for it in chunks if it not in kept}
            entries = sorted((it for number in kept for it in chunks[number]), key=_came)
            rules[rule] = _Contents(
                {number: chunks[number] for number in kept},
                {it.digest: it for it in entries},
                kept[-1],
            )
        self._rules = rules or NOTHING
        self._near.load(fields)

    def use_routes(
        self,
        routes: Mapping[int, tuple[Route, ...]],
        incomplete: Mapping[int, ResolvedRule | None],
    ) -> None:
        """Know the options of all rules; ``incomplete`` are those that lack routes now."""
        options = {
            it.rule: it.options.dedupe
            for them in routes.values()
            for it in them
            if it.options.dedupe
        }
        self._options = options or NOTHING
        self._near.keep_rules({*(it for it, of in options.items() if of.near), *incomplete})
        for rule in set(self._rules) - set(self._options) - set(incomplete):
            self._dirty |= {(rule, number) for number in self._rules[rule].chunks}
            self._rules = {it: of for it, of in self._rules.items() if it != rule}

    def fresh(self, message: Incoming, routes: Sequence[Route]) -> Sequence[Route]:
        """Return the routes for which a message is no duplicate, and remember its content."""
        if not self._options or not any(it.options.dedupe for it in routes):
            return routes
        digest = content_digest(message)
        if digest is None:
            return routes
        fresh = [it for it in routes if it.unjudged or self._is_fresh(it.rule, digest, message)]
        if len(fresh) < len(routes):
            self._doubled({it.rule for it in routes} - {it.rule for it in fresh})
        return fresh

    def _is_fresh(self, rule: int, digest: bytes, message: Incoming) -> bool:
        options = self._options.get(rule)
        if options is None:
            return True
        now, owner = int(self._now()), _owner_of(message.chat, message.id)
        if rule not in self._rules:
            self._rules = {**self._rules, rule: _Contents()}
        contents = self._rules[rule]
        before = contents.entries.get(digest)
        if before is not None and abs(now - before.at) < options.window:
            return before.owner == owner
        if options.near and (words := words_of(message)):
            text = NearText(file_number(message), now, owner, sketch_of(words))
            if self._near.has(rule, text, window=options.window, near=options.near):
                return False
            self._near.add(rule, text)
        self._dirty |= {(rule, it) for it in contents.add(_Entry(digest, now, owner))}
        return True

    def forget(self, rule: int, chat: int, number: int) -> None:
        """A message was not forwarded: what has the same content is no duplicate of it."""
        self._near.forget(rule, _owner_of(chat, number))
        contents = self._rules.get(rule)
        if contents is not None:
            changed = contents.remove(_owner_of(chat, number))
            self._dirty |= {(rule, it) for it in changed}

    # --- what is to be stored ----------------------------------------------------------

    def is_unstored(self, rules: Iterable[int]) -> bool:
        """Return whether contents of one of these rules are not stored yet."""
        wanted = set(rules)
        if self._near.is_unstored(wanted):
            return True
        if not self._dirty and not self._sent:
            return False
        return not {rule for rule, _ in (*self._dirty, *self._sent)}.isdisjoint(wanted)

    def take_fields(self) -> list[str]:
        """Return what has changed since the last call, as field, value, …; "" for none."""
        self._sent, self._dirty = self._dirty, NONE
        fields = [
            text
            for rule, number in sorted(self._sent)
            for text in (f"seen:{rule}:{number}", _encode(self._chunk(rule, number)))
        ]
        return [*fields, *self._near.take_fields()]

    def _chunk(self, rule: int, number: int) -> Sequence[_Entry]:
        contents = self._rules.get(rule)
        return contents.chunks.get(number, ()) if contents else ()

    def put_back(self) -> None:
        """What was taken last could not be stored."""
        self._dirty |= self._sent
        self._sent = NONE
        self._near.put_back()

    def note_committed(self) -> None:
        """What was taken last is stored."""
        self._sent = NONE
        self._near.note_committed()

    def mark_all(self) -> None:
        """Let the next commit write all contents: Redis has lost its data."""
        self._dirty |= {(rule, it) for rule, of in self._rules.items() for it in of.chunks}
        self._near.mark_all()


def _came(entry: _Entry) -> int:
    return entry.at


def _owner_of(chat: int, number: int) -> int:
    return int.from_bytes(blake2b(_MESSAGE.pack(chat, number), digest_size=4).digest())


def _encode(chunk: Sequence[_Entry]) -> str:
    return b64encode(b"".join(_ENTRY.pack(*it) for it in chunk)).decode()


def _decode(name: str, text: str) -> list[_Entry]:
    try:
        data = b64decode(text, validate=True)
    except (Base64Error, ValueError) as error:
        raise MalformedPositionError(f"{name[:40]!r} is no list of contents") from error
    if not data or len(data) % _ENTRY.size or len(data) > _CHUNK * _ENTRY.size:
        raise MalformedPositionError(f"{name[:40]!r} is no list of contents")
    return [_Entry(*it) for it in _ENTRY.iter_unpack(data)]
