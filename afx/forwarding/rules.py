"""Rules as a table: source chat → routes."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from afx.errors import UsageError, printable

Mode = Literal["copy", "forward"]


@dataclass(slots=True, frozen=True)
class Route:
    """One destination of one rule; chats are marked ids."""

    rule: int
    destination: int
    mode: Mode


@dataclass(slots=True, frozen=True)
class ResolvedRule:
    """A rule whose chats are resolved to marked ids."""

    id: int
    sources: tuple[int, ...]
    destinations: tuple[int, ...]
    mode: Mode


def chat_reference(text: str) -> str:
    """Return a chat as rules store it: ``@name`` or a marked id.

    Links of t.me are accepted. Raises UsageError for a text that names no chat.
    """
    name = re.sub(r"^(https?://)?t\.me/", "@", text.strip(), flags=re.ASCII)
    if re.fullmatch(r"@[A-Za-z][A-Za-z0-9_]{3,31}", name, re.ASCII):
        return name
    if re.fullmatch(r"-?[1-9]\d{0,18}", name, re.ASCII):
        return name
    raise UsageError(
        f"'{printable(text)}' names no chat; give an @name or an id such as -1001234567890."
    )


def compile_routes(rules: Iterable[ResolvedRule]) -> dict[int, tuple[Route, ...]]:
    """Return the routes of each source chat.

    A destination that several rules name gets a copy for each of them; a chat
    is never forwarded to itself.
    """
    table: dict[int, list[Route]] = defaultdict(list)
    for rule in rules:
        for chat in dict.fromkeys(rule.sources):
            table[chat] += [
                Route(rule.id, destination, rule.mode)
                for destination in dict.fromkeys(rule.destinations)
                if destination != chat
            ]
    return {chat: tuple(routes) for chat, routes in table.items() if routes}


def loops(routes: Mapping[int, tuple[Route, ...]]) -> set[int]:
    """Return the chats that are both a source and a destination."""
    return {route.destination for them in routes.values() for route in them} & set(routes)
