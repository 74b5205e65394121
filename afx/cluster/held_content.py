"""What would be sent of a message that waits for an approval, as nodes store it: sealed JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

SEALED_LIMIT = 32_000
"""Characters of a sealed content."""
_MOST_BYTES = 20_000
_MOST_ENCODED = 23_500
"""Bytes that have at most ``SEALED_LIMIT`` characters when they are sealed."""
_MOST_PARTS = 100


@dataclass(slots=True, frozen=True)
class HeldPart:
    """One entity of a content; offset and length in UTF-16 units."""

    kind: str
    offset: int
    length: int
    url: str = ""


@dataclass(slots=True, frozen=True)
class HeldContent:
    """What would be sent."""

    text: str
    parts: Sequence[HeldPart] = ()
    media: str = "text"
    """What the message has besides its text (``afx.forwarding.facts.MEDIA``)."""
    link: str = ""
    """To the source message."""
    problem: str = ""
    """Why it cannot be sent as it is."""


def name_of(rule: int, source: int, destination: int, message: int) -> str:
    """Return the name of a message of a route, to which its sealed content belongs."""
    return f"{rule}:{source}:{destination}:{message}"


def encode(it: HeldContent) -> str:
    """Return a content as JSON; of one that is too large, the entities and the end are cut."""
    parts = [[part.kind, part.offset, part.length, part.url] for part in it.parts[:_MOST_PARTS]]
    text = it.text.encode("utf-8", "replace")[:_MOST_BYTES].decode("utf-8", "ignore")
    row: dict[str, Any] = {
        "text": text,
        "parts": parts,
        "media": it.media,
        "link": it.link[:200],
        "problem": it.problem[:200],
    }
    encoded, size = _json(row)
    if size > _MOST_BYTES:
        row["parts"] = []
        encoded, size = _json(row)
    while size > _MOST_ENCODED:  # line feeds, quotes and the like take more than in the text
        row["text"] = row["text"][: len(row["text"]) * _MOST_ENCODED // size]
        encoded, size = _json(row)
    return encoded


def _json(row: dict[str, Any]) -> tuple[str, int]:
    """Return a content as JSON, and its bytes."""
    encoded = json.dumps(row, separators=(",", ":"), ensure_ascii=False)
    return encoded, len(encoded.encode("utf-8", "replace"))


def decode(text: str) -> HeldContent:
    """Return a content; raises ValueError for what is none."""
    row = json.loads(text)
    if not isinstance(row, dict) or not isinstance(row.get("parts"), list):
        raise ValueError("no content of a held message")
    names = ("text", "media", "link", "problem")
    values = {name: row.get(name, "") for name in names}
    if not all(isinstance(it, str) for it in values.values()):
        raise ValueError("no content of a held message")
    return HeldContent(**values, parts=tuple(_part(it) for it in row["parts"]))


def _part(row: Any) -> HeldPart:
    match row:
        case [str(kind), int(offset), int(length), str(url)] if offset >= 0 and length >= 0:
            return HeldPart(kind, offset, length, url)
    raise ValueError("no entity of a held message")
