"""What pools' lanes are made of, as owners and senders know them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from afx.cluster.links import CopyLink

_ENTRY = re.compile(r"([0-9]{1,10}):(-?[0-9]{1,19}):([0-9]{1,19})", re.ASCII)


class PoolLane(NamedTuple):
    """The lane of a rule's pool to one destination (a marked id)."""

    rule: int
    destination: int


class Entry(NamedTuple):
    """A lane at which a node is to look, for its owner or its sender."""

    lane: PoolLane
    sender: int
    """0: its order has an answer."""


@dataclass(slots=True, frozen=True)
class Holder:
    """A session as a node has it: scripts refuse what another node asks in its name."""

    session: int
    incarnation: str
    epoch: int


@dataclass(slots=True, frozen=True)
class Owned:
    """A lane as its owner finds it."""

    fence: int
    sender: int
    """Who sent last; 0 for none."""
    sequence: int
    doubts: Mapping[int, int] = field(default_factory=dict)
    """random_id → who may have sent it."""


@dataclass(slots=True, frozen=True)
class Taken:
    """An order that a sender's node has taken."""

    order: str
    """Sealed (see ``Vault.open_order``)."""
    fence: int
    sequence: int
    ids: frozenset[int]
    """The random_ids of its sends."""
    doubts: frozenset[int]
    """Those that may have been sent before."""


class LostOwnerError(Exception):
    """Redis has lost who owns a session; the leader will write it again."""


def copies_of(links: Sequence[CopyLink]) -> str:
    """Return the copies of some links as "a,b,", the lowest first."""
    return "".join(f"{it}," for it in sorted({link.copy for link in links}))


def parse_entry(text: str) -> Entry | None:
    """Return the lane at which a node is to look; None for a malformed text."""
    match = _ENTRY.fullmatch(text)
    return Entry(PoolLane(int(match[1]), int(match[2])), int(match[3])) if match else None
