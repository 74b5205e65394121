"""Which messages of a page of old ones are taken together."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any

PAGE = 40
"""Messages of one page."""


def wanted(found: Sequence[Any], to: int) -> tuple[Sequence[Any], bool]:
    """Return the messages of a page up to ``to``, and whether there are no more.

    An album is in one page as a whole: one that goes on behind ``to`` is taken to its end, and
    one at the end of a full page is left to the next.
    """
    count = sum(1 for it in found if it.id <= to)
    album = album_of(found[count - 1]) if count else 0
    if album:
        rest = found[count:]
        count += sum(1 for _ in takewhile(lambda it: album_of(it) == album, rest))
    is_cut = bool(album) and count == len(found) and len(found) >= PAGE
    if is_cut and album_of(found[0]) != album:
        return list(takewhile(lambda it: album_of(it) != album, found)), False
    return found[:count], not found or count < len(found) or found[-1].id >= to


def album_of(message: Any) -> int:
    """Return the album of one of Telegram's messages; 0 for none."""
    return getattr(message, "grouped_id", None) or 0
