"""Texts with entities, and changes of them that keep each entity on its characters.

Entities count in UTF-16 units (core.telegram.org/api/entities); edits count in characters, as
Python does. An edit replaces a range: an entity that covers all of it covers the replacement,
one that covers a part of it is cut off there, one that lies in it is dropped. What is inserted
between two characters belongs to the entities that cover both.
"""

from __future__ import annotations

import copy
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, NamedTuple

from afx.forwarding import utf16
from afx.forwarding.facts import Marked, kind_of

LARGEST = 10_000
"""Characters beyond which a text is not made longer; Telegram takes 4,096."""
MOST_ENTITIES = 1_000
"""Telegram takes 100 of a message (core.telegram.org/api/entities)."""
WHOLE_ONLY = frozenset(
    {
        "BankCard",
        "BotCommand",
        "Cashtag",
        "CustomEmoji",
        "Email",
        "Hashtag",
        "Mention",
        "Phone",
        "Url",
    }
)
"""Kinds that mean nothing once a part of their text is gone."""
_JOINERS = frozenset("\u200d\ufe0e\ufe0f\u20e3")
_LONGEST_CLUSTER = 16


class Styled(NamedTuple):
    """A text and its entities."""

    text: str
    entities: tuple[Any, ...] = ()


class Edit(NamedTuple):
    """Replaces the characters from ``start`` to ``end``, without it, by a text."""

    start: int
    end: int
    text: str


@dataclass(slots=True)
class _Map:
    """Where offsets lie after edits; all numbers are UTF-16 units."""

    starts: list[int]
    ends: list[int]
    grown: list[int]
    """By how much the text has grown after so many edits."""
    sizes: list[int]
    """The lengths of the replacements."""

    def entity(self, begin: int, end: int) -> tuple[int, int, bool]:
        """Return (begin, end, whether a part was cut off) of an entity after the edits."""
        # The first edit that ends behind the entity's begin, or is an insertion at it.
        first = bisect_right(self.ends, begin)
        new_begin, cut = begin + self.grown[first], False
        if first < len(self.starts) and self.starts[first] <= begin < self.ends[first]:
            covers = self.starts[first] == begin and self.ends[first] <= end
            at = self.starts[first] + self.grown[first]
            new_begin = at if covers else at + self.sizes[first]
            cut = not covers
        last = bisect_left(self.starts, end)
        new_end = end + self.grown[last]
        if last:
            # The last edit that begins before the entity's end.
            start, edit_end = self.starts[last - 1], self.ends[last - 1]
            if start < end < edit_end or (end == edit_end and start < begin):
                new_end, cut = start + self.grown[last - 1], True
        return new_begin, new_end, cut


def edited(styled: Styled, edits: Sequence[Edit]) -> Styled:
    """Return a text after edits that are in order and do not overlap."""
    edits = [it for it in edits if it.text != styled.text[it.start : it.end]]
    if not edits:
        return styled
    parts, at = [], 0
    for it in edits:
        parts += [styled.text[at : it.start], it.text]
        at = it.end
    parts.append(styled.text[at:])
    if not styled.entities:
        return Styled("".join(parts))
    units = utf16.units(styled.text)
    starts = [units[it.start] for it in edits]
    ends = [units[it.end] for it in edits]
    sizes = [utf16.length(it.text) for it in edits]
    growth = (size - (end - start) for size, start, end in zip(sizes, starts, ends, strict=True))
    offsets = _Map(starts, ends, [0, *accumulate(growth)], sizes)
    return Styled("".join(parts), tuple(_moved(styled.entities, offsets)))


def _moved(entities: Iterable[Any], offsets: _Map) -> Iterable[Any]:
    for it in entities:
        begin, end, cut = offsets.entity(it.offset, it.offset + it.length)
        if end > begin and not (cut and kind_of(it) in WHOLE_ONLY):
            yield at(it, begin, end - begin)


def at(entity: Any, offset: int, length: int, **values: Any) -> Any:
    """Return an entity at another place, with other values of its attributes."""
    if isinstance(entity, Marked):
        return replace(entity, offset=offset, length=length, **values)
    if not values and (entity.offset, entity.length) == (offset, length):
        return entity
    moved = copy.copy(entity)
    moved.offset, moved.length = offset, length
    for name, value in values.items():
        setattr(moved, name, value)
    return moved


def joined(parts: Iterable[Styled]) -> Styled:
    """Return texts one after another, up to the one that makes the whole too long to be sent."""
    texts: list[str] = []
    entities: list[Any] = []
    offset = 0
    for it in parts:
        texts.append(it.text)
        entities += [at(each, each.offset + offset, each.length) for each in it.entities]
        offset += utf16.length(it.text)
        if offset > LARGEST:
            break
    return Styled("".join(texts), tuple(entities[:MOST_ENTITIES]))


def without(styled: Styled, unwanted: Callable[[Any], bool]) -> Styled:
    """Return a text without some of its entities; all characters stay."""
    return Styled(styled.text, tuple(it for it in styled.entities if not unwanted(it)))


def spans(styled: Styled, wanted: Callable[[Any], bool]) -> list[tuple[int, int, Any]]:
    """Return (first character, end, entity) of some entities, in order, none over another."""
    found: list[tuple[int, int, Any]] = []
    behind = 0
    for it in sorted(filter(wanted, styled.entities), key=lambda it: (it.offset, -it.length)):
        start = utf16.index_at(styled.text, it.offset)
        end = utf16.index_at(styled.text, it.offset + it.length)
        if behind <= start < end:
            found.append((start, end, it))
            behind = end
    return found


def trimmed(styled: Styled) -> Styled:
    """Return a text without white space at its ends, as Telegram stores it."""
    text = styled.text
    start = len(text) - len(text.lstrip())
    end = len(text.rstrip())
    if end <= start:
        return Styled("")
    if start == 0 and end == len(text):
        return styled
    return edited(styled, [Edit(0, start, ""), Edit(end, len(text), "")])


def shortened(styled: Styled, most: int, mark: str = "…") -> Styled:
    """Return a text of at most so many UTF-16 units; one that is cut ends with the mark.

    Neither a surrogate pair nor an emoji of several characters is cut in two.
    """
    text = styled.text
    if utf16.length(text) <= most:
        return styled
    room = most - utf16.length(mark)
    end = utf16.index_at(text, max(0, room))
    for _ in range(_LONGEST_CLUSTER):
        if not 0 < end < len(text) or not (_continues(text[end]) or text[end - 1] == "\u200d"):
            break
        end -= 1
    return edited(styled, [Edit(end, len(text), mark if room >= 0 else "")])


def _continues(character: str) -> bool:
    """Return whether a character belongs to the one before it."""
    is_modifier = "\U0001f3fb" <= character <= "\U0001f3ff"
    return bool(unicodedata.combining(character)) or character in _JOINERS or is_modifier
