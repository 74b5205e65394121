"""How a message is shown beside what it says: what a copy that is made anew has to repeat.

A forward without its author keeps all of it but the silence, which is of the request.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntFlag
from typing import Any

from afx.forwarding.facts import kind_of

_LINKS = frozenset({"Url", "TextUrl"})


class Look(IntFlag):
    """What is unusual about how a message is shown (core.telegram.org/constructor/message)."""

    SILENT = 1
    """It was posted without a sound."""
    ABOVE = 2
    """Its caption, or its text, stands above its media, or above the preview of its link."""
    NO_PREVIEW = 4
    """It has a link, and shows no preview of it."""


PLAIN = Look(0)


def look_of(raw: Any, entities: Iterable[Any]) -> Look:
    """Return how one of Telegram's messages is shown; PLAIN where there is none."""
    if raw is None:
        return PLAIN
    look = Look.SILENT if getattr(raw, "silent", None) else PLAIN
    if getattr(raw, "invert_media", None):
        look |= Look.ABOVE
    if entities and getattr(raw, "media", None) is None and any(map(_is_link, entities)):
        look |= Look.NO_PREVIEW
    return look


def _is_link(entity: Any) -> bool:
    return kind_of(entity) in _LINKS
