"""Destinations of rules that are no chats: webhooks, files and feeds.

    to: ["@my_copies", "webhook:https://example.org/news", "file:news.jsonl", "rss:news.xml"]

An output has a number, as a chat has a marked id: it is derived from its text, and is higher than
the id of any chat. So lanes, links, outboxes and dead letters are those of any destination.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

from afx.errors import UsageError, printable
from afx.security.webhook_targets import check_url

_FIRST = 2**52
"""Ids of users have fewer than 41 bits, and SQL and Lua take all below 2**53."""
_LONGEST = 200
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", re.ASCII)
_MOST_PARTS = 4
CLOSED_OUTPUT = "OUTPUT_CLOSED: "
"""How the reason of a failure begins after which an output is tried rarely."""
Kind = Literal["webhook", "file", "rss"]
_ENDINGS = {"file": ".jsonl", "rss": ".xml"}
_URL = re.compile(r"https?://[\x21-\x7e]{1,160}", re.ASCII)


@dataclass(slots=True, frozen=True)
class Target:
    """An output as a rule names it."""

    kind: Kind
    place: str
    """A URL, or a path below the session's directory."""


def is_output_text(text: str) -> bool:
    """Return whether a destination is no chat."""
    return text.startswith(("webhook:", "file:", "rss:"))


def is_output(destination: int) -> bool:
    """Return whether a destination's number is that of an output."""
    return destination >= _FIRST


def output_number(text: str) -> int:
    """Return the number of an output; two outputs of one session never have the same in practice.

    It has 52 random bits: among a thousand outputs a pair is alike once in ten thousand million.
    """
    digest = blake2b(text.encode(), digest_size=8, person=b"afx output").digest()
    return _FIRST + (int.from_bytes(digest) >> 12)


def target_of(text: str) -> Target:
    """Return what an output is; raises UsageError for a text that is none."""
    name, _, place = text.partition(":")
    shown = printable(text)
    if name == "webhook":
        try:
            check_url(place)
        except ValueError as error:
            # The URL is not repeated: it may contain a password.
            raise UsageError(
                f"A destination is no webhook: {error}; write webhook:https://HOST/PATH."
            ) from None
        if len(text) > _LONGEST or not _URL.fullmatch(place):
            raise UsageError(f"'{shown}' is no webhook; write webhook:https://HOST/PATH.")
        return Target("webhook", place)
    if name not in ("file", "rss"):
        raise UsageError(f"'{shown}' is no output; write webhook:URL, file:PATH or rss:PATH.")
    kind: Kind = "file" if name == "file" else "rss"
    ending = _ENDINGS[kind]
    parts = place.split("/")
    is_path = len(parts) <= _MOST_PARTS and all(map(_PART.fullmatch, parts))
    if not is_path or not place.endswith(ending):
        raise UsageError(
            f"'{shown}' is no path of an output; write {name}:NAME{ending} or "
            f"{name}:FOLDER/NAME{ending}, of letters, digits, _ - and dots."
        )
    return Target(kind, place)
