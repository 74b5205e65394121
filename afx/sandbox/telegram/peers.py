"""Accounts, channels and groups.

Chats are named by Telethon's marked ids: a user by its id, a basic group by
minus its id, a channel by ``-(10**12 + id)``.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from hashlib import blake2b

from afx.sandbox.telegram.boxes import Box
from afx.sandbox.telegram.srp import Verifier

CHANNEL_BASE = 1_000_000_000_000
_RECENT_SENDS = 1000
_RECENT_SECONDS = 120.0


def access_hash(kind: str, number: int) -> int:
    """Return the access hash of a peer: fixed, and not to be guessed by chance."""
    digest = blake2b(f"{kind}:{number}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


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
    sent: dict[int, tuple[int, int]] = field(default_factory=dict)
    """random_id → (chat, message id) of all that was sent."""
    recent: deque[tuple[float, int, int]] = field(
        default_factory=lambda: deque(maxlen=_RECENT_SENDS)
    )
    """(monotonic seconds, random_id, message id) of the newest sends."""
    missed_channels: set[int] = field(default_factory=set)
    """Channels with events that were pushed to no live connection."""
    password: Verifier | None = None
    """Of two-step verification, if it is on."""

    def __post_init__(self) -> None:
        self.hash = access_hash("user", self.id)

    def note_sent(self, random_id: int, chat: int, message: int) -> None:
        """Remember a send, by the random_id that must not come again."""
        self.sent[random_id] = (chat, message)
        self.recent.append((time.monotonic(), random_id, message))

    def recent_sends(self) -> list[tuple[int, int]]:
        """Return (random_id, message id) of sends whose answer may have been lost."""
        since = time.monotonic() - _RECENT_SECONDS
        return [(random_id, message) for at, random_id, message in self.recent if at > since]


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
