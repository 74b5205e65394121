"""From a message to its deliveries."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from struct import Struct
from typing import Any

from afx.forwarding.rules import Mode, Route

_KEY = Struct("<qqqq")
_RANDOM_ID = Struct("<q")


@dataclass(slots=True, frozen=True)
class Incoming:
    """A message received in a source chat."""

    chat: int
    id: int
    text: str
    entities: tuple[Any, ...]
    has_media: bool
    raw: Any = None
    """Telegram's message, for filters and transforms; None where there is none."""


@dataclass(slots=True, eq=False)
class Delivery:
    """One message to be sent to one destination."""

    rule: int
    mode: Mode
    source: int
    message: int
    destination: int
    random_id: int
    text: str
    entities: tuple[Any, ...]
    needs_native_forward: bool
    """Sent by forwarding, since its text is not all of its content."""


def random_id(rule: int, source: int, message: int, destination: int) -> int:
    """Return the id by which Telegram recognises a repeated send.

    It is derived from what is sent and where to, so that a replay after a crash
    repeats it (core.telegram.org/method/messages.sendMessage, random_id).
    """
    digest = blake2b(_KEY.pack(rule, source, message, destination), digest_size=8)
    return int(_RANDOM_ID.unpack(digest.digest())[0]) or 1


def deliveries(incoming: Incoming, routes: Iterable[Route]) -> list[Delivery]:
    """Return the deliveries of a message, one for each route."""
    needs_native_forward = incoming.has_media or not incoming.text
    return [
        Delivery(
            route.rule,
            route.mode,
            incoming.chat,
            incoming.id,
            route.destination,
            random_id(route.rule, incoming.chat, incoming.id, route.destination),
            incoming.text,
            incoming.entities,
            needs_native_forward,
        )
        for route in routes
    ]
