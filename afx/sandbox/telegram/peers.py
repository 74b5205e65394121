"""Accounts, channels and groups.

Chats are named by Telethon's marked ids: a user by its id, a basic group by
minus its id, a channel by ``-(10**12 + id)``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Literal, NamedTuple

from afx.sandbox.telegram.boxes import Box, Event, Message
from afx.sandbox.telegram.srp import Verifier
from afx.sandbox.telegram.uploads import MOST_PARTS, MOST_PARTS_PREMIUM

CHANNEL_BASE = 1_000_000_000_000
GENERAL = 1
"""The id of the topic that each forum has (api/forum)."""
BLUE = 0x6FB9F0
"""The color of a topic's icon unless another is given."""


@lru_cache(maxsize=100_000)
def access_hash(kind: str, number: int, viewer: int) -> int:
    """Return the access hash of a peer for one account: each account has its own.

    Source: core.telegram.org/api/peers.
    """
    digest = blake2b(f"{kind}:{number}:{viewer}".encode(), digest_size=8).digest()
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
    usernames: list[str] = field(default_factory=list)
    """Its further usernames."""
    dialogs: dict[int, None] = field(default_factory=dict)
    sent: dict[tuple[int, int], Sent] = field(default_factory=dict)
    """(chat, random_id) → what that call has made; they do not expire (api/updates)."""
    sending: set[tuple[int, int]] = field(default_factory=set)
    """(chat, random_id) of calls that are running."""
    missed_channels: set[int] = field(default_factory=set)
    """Channels with events that were pushed to no live connection."""
    data_centre: int = 2
    """Where it signs in."""
    login_days: int = 183
    """After so many days without a request a login of it ends."""
    seq: int = 0
    """The number of the last push that was numbered (api/updates, seq)."""
    password: Verifier | None = None
    """Of two-step verification, if it is on."""
    health: Literal["healthy", "limited", "frozen", "banned"] = "healthy"
    """What it may do: a limited one sends nothing, a frozen one does nothing that others see."""
    premium_only: bool = False
    """It takes messages of premium accounts only: of none here (api/privacy)."""
    premium: bool = False
    """It may upload files of twice the size (api/premium)."""
    bot_token: str = ""
    """What a bot signs in with; empty for a person (core.telegram.org/api/bots)."""

    @property
    def is_bot(self) -> bool:
        """Whether it is a bot: some methods are for people only."""
        return bool(self.bot_token)

    @property
    def most_parts(self) -> int:
        """Parts of a file that it may upload (api/config, upload_max_fileparts_default)."""
        return MOST_PARTS_PREMIUM if self.premium else MOST_PARTS

    def hash_for(self, viewer: int) -> int:
        """Return the access hash by which an account names this one."""
        return access_hash("user", self.id, viewer)


@dataclass(slots=True, eq=False)
class Topic:
    """One topic of a forum; its id is that of the service message that made it."""

    id: int
    title: str
    creator: int
    date: int
    icon_color: int = BLUE
    icon_emoji_id: int = 0
    closed: bool = False
    hidden: bool = False
    """Of the General topic alone."""


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
    stars: int = 0
    """What a message of a member costs (core.telegram.org/api/paid-messages)."""
    slow_mode_seconds: int = 0
    """Members who are not the creator wait so long between two sends."""
    last_sends: dict[int, float] = field(default_factory=dict)
    """Account → monotonic seconds of its last send, in slow mode."""
    usernames: list[str] = field(default_factory=list)
    """Its further usernames."""
    banned: set[int] = field(default_factory=set)
    """Who was removed, and may not come back."""
    muted: set[int] = field(default_factory=set)
    """Members who may not send."""
    topics: dict[int, Topic] | None = None
    """Of a forum, General among them."""
    deleted_topics: set[int] = field(default_factory=set)
    migrated_from: int = 0
    """The basic group that became this supergroup."""

    def hash_for(self, viewer: int) -> int:
        """Return the access hash by which an account names this channel."""
        return access_hash("channel", self.id, viewer)

    def set_forum(self, on: bool) -> None:
        """Make it a forum, whose messages so far are in General, or a supergroup again."""
        # Message 1 of Telegram's channels tells of their creation; here none may be a topic.
        self.box.next_id = max(self.box.next_id, GENERAL + 1)
        general = Topic(GENERAL, "General", self.creator, self.date)
        self.topics = {GENERAL: general} if on else None

    def is_readable(self, account: int) -> bool:
        """Return whether an account may read it: members do, and anyone what is public."""
        return account in self.members or (bool(self.username) and account not in self.banned)

    @property
    def marked(self) -> int:
        """The marked id by which clients know this channel."""
        return -(CHANNEL_BASE + self.id)


@dataclass(slots=True, eq=False)
class Invite:
    """A link by which accounts join a channel or supergroup (api/invites)."""

    hash: str
    channel: Channel
    asks: bool
    """An admin lets them in."""
    date: datetime
    requests: set[int] = field(default_factory=set)
    """Accounts that have asked."""
    expired: bool = False


@dataclass(slots=True, eq=False)
class Group:
    """A basic group: its messages lie in the boxes of its members."""

    id: int
    title: str
    creator: int
    date: int
    members: set[int] = field(default_factory=set)
    migrated_to: int = 0
    """The supergroup that it has become."""

    @property
    def marked(self) -> int:
        """The marked id by which clients know this group."""
        return -self.id


Peer = Account | Channel | Group
