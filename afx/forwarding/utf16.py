"""Offsets as Telegram counts them: in UTF-16 units (core.telegram.org/api/entities)."""

from __future__ import annotations

from itertools import accumulate


def length(text: str) -> int:
    """Return a text's length in UTF-16 units."""
    return len(text) if is_basic(text) else len(text) + sum(it > "\uffff" for it in text)


def is_basic(text: str) -> bool:
    """Return whether each character is one unit."""
    return text.isascii() or max(text, default="") <= "\uffff"


def units(text: str) -> list[int] | range:
    """Return, for each index of a text and its end, the offset in units."""
    if is_basic(text):
        return range(len(text) + 1)
    return [0, *accumulate(2 if it > "\uffff" else 1 for it in text)]


def index_at(text: str, offset: int) -> int:
    """Return the index of the character at an offset in units, its end at most.

    An offset inside of a character is that of the character.
    """
    if is_basic(text):
        return max(0, min(offset, len(text)))
    seen = 0
    for index, it in enumerate(text):
        seen += 2 if it > "\uffff" else 1
        if seen > offset:
            return index
    return len(text)


def part(text: str, offset: int, size: int) -> str:
    """Return what an entity covers; offset and size in units."""
    if is_basic(text):
        return text[max(0, offset) : max(0, offset + size)]
    return text[index_at(text, offset) : index_at(text, offset + size)]
