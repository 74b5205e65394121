"""How links are stored in Redis: source message → copy, and the way back.

The links of one route (rule, source chat, destination chat) lie in blocks of neighbouring
source ids, each one string of fixed-width entries: ``offset in the block, copy's id``. The
way back lies in blocks of the destination's ids: ``offset, number of (rule, source chat),
source id``; the numbers are given in a hash of the destination. Later entries of the same
offset win, so writing an entry twice does no harm. ``commit.lua`` appends the entries.

Ids of channels and supergroups are the same for all accounts and dense: blocks of 256.
Other chats' ids are the account's own and sparse: blocks of 4,096, and the way back is
kept for each session. Measured: see docs/decisions/009-links-and-outbox.md.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from struct import Struct
from typing import NamedTuple

from afx.cluster import keys

_FIRST_CHANNEL = -1_000_000_000_000
_HEAD = re.compile(r"([0-9]{1,10}):([0-9]{1,10})", re.ASCII)
_ORIGIN = re.compile(r"([0-9]{1,19}):(-?[0-9]{1,19})", re.ASCII)


class CopyRoute(NamedTuple):
    """What a link belongs to: a rule, a source and a destination (marked ids)."""

    rule: int
    source: int
    destination: int


class CopyLink(NamedTuple):
    """A source message and its copy."""

    route: CopyRoute
    message: int
    copy: int


class Origin(NamedTuple):
    """Where a copy came from."""

    rule: int
    source: int
    message: int


@dataclass(slots=True, frozen=True)
class Layout:
    """How the ids of one kind of chat are put into blocks."""

    size: int
    """Ids in a block."""
    forward: Struct
    """An entry: (offset, copy)."""
    back: Struct
    """An entry: (offset, number of the origin, source message)."""
    pair: Struct
    """What a script makes such an entry of: (offset, source message)."""
    slot: int
    """Bytes of the offset."""


_CHANNEL = Layout(256, Struct(">BI"), Struct(">BHI"), Struct(">BI"), 1)
_OTHER = Layout(4_096, Struct(">HI"), Struct(">HHI"), Struct(">HI"), 2)


def is_channel(chat: int) -> bool:
    """Return whether a marked id is a channel's or a supergroup's."""
    return chat < _FIRST_CHANNEL


def layout(chat: int) -> Layout:
    """Return how the ids of a chat are put into blocks."""
    return _CHANNEL if is_channel(chat) else _OTHER


def copies_key(session: int, chat: int) -> str:
    """Return the key of a destination's origins; blocks of the way back begin with it."""
    return keys.copies(chat if is_channel(chat) else f"{chat}@{session}")


def block_key(route: CopyRoute, message: int) -> str:
    """Return the key of the block in which the link of a source message lies."""
    return keys.link_block(*route, message // layout(route.source).size)


def way_back_key(session: int, chat: int, copy: int) -> str:
    """Return the key of the block in which the origin of a copy lies."""
    return f"{copies_key(session, chat)}:{copy // layout(chat).size}"


# --- what is written ------------------------------------------------------------------


def writes(session: int, links: Iterable[CopyLink]) -> Iterator[list[str | int | bytes]]:
    """Return what links add to Redis, as arguments of ``commit.lua`` (see there)."""
    forward: dict[tuple[CopyRoute, int], list[CopyLink]] = defaultdict(list)
    back: dict[tuple[int, int, int, int], list[CopyLink]] = defaultdict(list)
    for link in links:
        route = link.route
        forward[route, link.message // layout(route.source).size].append(link)
        block = link.copy // layout(route.destination).size
        back[route.destination, block, route.rule, route.source].append(link)
    for (route, block), its_links in forward.items():
        form = layout(route.source)
        pack, size = form.forward.pack, form.size
        yield [
            "link",
            keys.link_block(*route, block),
            form.slot,
            b"".join([pack(it.message % size, it.copy) for it in its_links]),
            keys.links(route.rule),
            f"{route.source}:{route.destination}",
            block,
            max(it.message for it in its_links),
        ]
    for (chat, block, rule, source), its_links in back.items():
        form = layout(chat)
        pack, size = form.pair.pack, form.size
        origins = copies_key(session, chat)
        yield [
            "copy",
            f"{origins}:{block}",
            form.slot,
            b"".join([pack(it.copy % size, it.message) for it in its_links]),
            origins,
            f"{rule}:{source}",
            0,
            0,
        ]


# --- what is read ---------------------------------------------------------------------


def parse_block(source: int, data: bytes | None) -> dict[int, int]:
    """Return the links of a block: offset of the source message → copy.

    A part of an entry at its end is no link.
    """
    return {offset: copy for offset, copy in _entries(layout(source).forward, data)}  # noqa: C416


def parse_way_back(chat: int, data: bytes | None) -> dict[int, tuple[int, int]]:
    """Return a block of the way back: offset of the copy → (origin's number, message)."""
    return {
        offset: (number, message) for offset, number, message in _entries(layout(chat).back, data)
    }


def parse_origins(stored: dict[str, str]) -> dict[int, tuple[int, int]]:
    """Return a destination's origins: number → (rule, source); what is malformed is left out."""
    found = {}
    for text, number in stored.items():
        match = _ORIGIN.fullmatch(text)
        if match and number.isascii() and number.isdecimal() and len(number) <= 5:
            found[int(number)] = int(match[1]), int(match[2])
    return found


def parse_head(text: str) -> tuple[int, int] | None:
    """Return a route's (first block, highest source id); None for a malformed text."""
    match = _HEAD.fullmatch(text)
    return (int(match[1]), int(match[2])) if match else None


def parse_route(rule: int, field: str) -> CopyRoute | None:
    """Return the route that a field of a rule's links names; None for a malformed one."""
    match = re.fullmatch(r"(-?[0-9]{1,19}):(-?[0-9]{1,19})", field, re.ASCII)
    return CopyRoute(rule, int(match[1]), int(match[2])) if match else None


def _entries(form: Struct, data: bytes | None) -> Iterator[tuple[int, ...]]:
    data = data or b""
    return form.iter_unpack(data[: len(data) - len(data) % form.size])
