"""Accounts, channels and groups.

Chats are named by Telethon's marked ids: a user by its id, a basic group by
minus its id, a channel by ``-(10**12 + id)``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import NamedTuple

from afx.sandbox.telegram.boxes import Box, Event, Message
from afx.sandbox.telegram.srp import Verifier

CHANNEL_BASE = 1_000_000_000_000


def access_hash(kind: str, number: int) -> int:
    """Return the access hash of a peer: fixed, and not to be guessed by chance."""
    digest = blake2b(f"{kind}:{number}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


class Sent(NamedTuple):
    """A message that a call with a random_id has made."""

    message: Message
    event: Event


@dataclass(slots=True, eq=False)
class Account:
    """One user of the sandbox."""

    id: int
    phone: str
    first_name: str
    username: str
    box: Box
    hash: int = field(init=False)
    dialogs: dict[int, None] = field(default_factory=dict)
    sent: dict[tuple[int, int], Sent] = field(default_factory=dict)
    """(chat, random_id) → what that call has made; they do not expire (api/updates)."""
    sending: set[tuple[int, int]] = field(default_factory=set)
    """(chat, random_id) of calls that are running."""
    missed_channels: set[int] = field(default_factory=set)
    """Channels with events that were pushed to no live connection."""
    seq: int = 0
    """The number of the last push that was numbered (api/updates, seq)."""
    password: Verifier | None = None
    """Of two-step verification, if it is on."""

    def __post_init__(self) -> None:
        self.hash = access_hash("user", self.id)


@dataclass(slots=True, eq=False)
class Channel:
    """A broadcast channel, or a supergroup when ``megagroup`` is set."""

    id: int
    title: str
    username: str
    megagroup: bool
    creator: int
    box: Box
    date: int
    members: set[int] = field(default_factory=set)
    posters: set[int] = field(default_factory=set)
    """Who may post: in a broadcast channel only its admins."""
    noforwards: bool = False
    slow_mode_seconds: int = 0
    """Members who are not the creator wait so long between two sends."""
    last_sends: dict[int, float] = field(default_factory=dict)
    """Account → monotonic seconds of its last send, in slow mode."""
    hash: int = field(init=False)

    def __post_init__(self) -> None:
        self.hash = access_hash("channel", self.id)

    @property
    def marked(self) -> int:
        """The marked id by which clients know this channel."""
        return -(CHANNEL_BASE + self.id)


@dataclass(slots=True, eq=False)
class Group:
    """A basic group: its messages lie in the boxes of its members."""

    id: int
    title: str
    creator: int
    date: int
    members: set[int] = field(default_factory=set)

    @property
    def marked(self) -> int:
        """The marked id by which clients know this group."""
        return -self.id


Peer = Account | Channel | Group
