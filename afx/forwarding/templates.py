"""Texts with named fields, such as ``{text}`` and ``{link}``; nothing in them is executed."""

from __future__ import annotations

from string import Formatter

from afx.forwarding.entities import Styled, joined
from afx.forwarding.facts import Facts

FIELDS = {
    "text": "the message's text",
    "chat": "the source's id",
    "message": "the message's id in the source",
    "link": "a link to the message, for members of its channel",
    "sender": "the author's id",
    "date": "the day it was sent, in UTC",
    "time": "the hour and minute it was sent, in UTC",
    "media": "its kind, such as photo",
}
_MOST_TEXTS = 3
_CHANNELS = -1_000_000_000_000
Parts = tuple[tuple[str, str], ...]
"""(text, the field after it or nothing), one after another."""


def wrong_with(template: str) -> str | None:
    """Return what is wrong with a template, None for nothing."""
    try:
        parts = parse(template)
    except ValueError:
        return "a brace is not closed, or a field has more than a name; '{{' is a brace"
    if sum(name == "text" for _, name in parts) > _MOST_TEXTS:
        return f"{{text}} is there more than {_MOST_TEXTS} times"
    unknown = sorted({name for _, name in parts if name and name not in FIELDS})
    if unknown:
        return f"there is no field {', '.join(unknown)}; there are {', '.join(FIELDS)}"
    return None


def parse(template: str) -> Parts:
    """Return a template's parts; raises ValueError for what is none."""
    found = []
    for text, name, form, conversion in Formatter().parse(template):
        if name is not None and (form or conversion or not name.isidentifier()):
            raise ValueError("not a plain field")
        found.append((text, name or ""))
    return tuple(found)


def filled(parts: Parts, facts: Facts, text: Styled) -> Styled:
    """Return a template with a message's values in its fields."""
    pieces: list[Styled] = []
    for literal, name in parts:
        pieces.append(Styled(literal))
        if name == "text":
            pieces.append(text)
        elif name:
            pieces.append(Styled(value(name, facts)))
    return joined(pieces)


def value(name: str, facts: Facts) -> str:
    """Return what a field other than ``text`` has of a message."""
    if name == "date":
        return f"{facts.moment:%Y-%m-%d}"
    if name == "time":
        return f"{facts.moment:%H:%M}"
    if name == "link":
        return link_to(facts.chat, facts.id)
    return str(getattr(facts, "id" if name == "message" else name))


def link_to(chat: int, message: int) -> str:
    """Return a link to a message of a marked chat, "" outside channels: there is none."""
    bare = _CHANNELS - chat
    return f"https://t.me/c/{bare}/{message}" if bare > 0 else ""
