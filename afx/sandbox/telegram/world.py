"""What the sandbox's Telegram holds: accounts, chats, messages, update logs.

Chats are named by Telethon's marked ids: a user by its id, a basic group by
minus its id, a channel by ``-(10**12 + id)``. Channels number their own
messages and keep their own pts; all that happens in private chats and basic
groups has a copy, with its own id and pts, in each participant's box.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from afx.sandbox.telegram.srp import Verifier

CHANNEL_BASE = 1_000_000_000_000
EventKind = Literal["new", "edit", "delete"]
_RECENT_SENDS = 1000
_RECENT_SECONDS = 120.0


def access_hash(kind: str, number: int) -> int:
    """Return the access hash of a peer: fixed, and not to be guessed by chance."""
    digest = blake2b(f"{kind}:{number}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


@dataclass(slots=True, eq=False)
class Message:
    """One message as it lies in a channel or in one account's box."""

    id: int
    chat: int
    sender: int
    text: str
    entities: list[Any]
    date: int
    sent_at: float
    out: bool = False
    random_id: int | None = None
    forwarded: tuple[int, int, int] | None = None
    """(origin chat, origin message id, origin date) of a forward."""
    reply_to: int | None = None
    edited: int | None = None


@dataclass(slots=True, frozen=True)
class Event:
    """One entry of an update log; ``pts`` is the counter after it."""

    pts: int
    count: int
    kind: EventKind
    ids: tuple[int, ...]


@dataclass(slots=True, eq=False)
class Box:
    """Numbered messages with a pts counter and the log of what moved it."""

    log_limit: int
    pts: int = 1
    next_id: int = 1
    messages: dict[int, Message] = field(default_factory=dict)
    log: deque[Event] = field(default_factory=deque)

    def record(self, kind: EventKind, ids: tuple[int, ...]) -> Event:
        """Move pts by what happened, and log it."""
        self.pts += len(ids)
        event = Event(self.pts, len(ids), kind, ids)
        self.log.append(event)
        if len(self.log) > self.log_limit:
            self.log.popleft()
        return event

    def since(self, pts: int) -> list[Event] | None:
        """Return the events after ``pts``, or None when the log is too short."""
        oldest = self.log[0].pts - self.log[0].count if self.log else self.pts
        if pts < oldest:
            return None
        found: list[Event] = []
        for event in reversed(self.log):
            if event.pts <= pts:
                break
            found.append(event)
        found.reverse()
        return found


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
    """Channels with news that no live connection was told of."""
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


class World:
    """All accounts and chats; every change goes through its methods."""

    def __init__(self, *, log_limit: int = 100_000) -> None:
        self.log_limit = log_limit
        self.accounts: dict[int, Account] = {}
        self.channels: dict[int, Channel] = {}
        self.groups: dict[int, Group] = {}
        self.usernames: dict[str, Peer] = {}
        self.phones: dict[str, Account] = {}
        self._next_user = 1_000_001
        self._next_channel = 2_000_001
        self._next_group = 3_000_001

    def add_account(self, phone: str = "", name: str = "", username: str = "") -> Account:
        """Create an account; what is not given is made up."""
        number = self._next_user
        self._next_user += 1
        phone = phone or f"999{number:08d}"
        account = Account(
            number, phone, name or f"User {number}", username or f"user{number}", self._box()
        )
        self.accounts[number] = account
        self.phones[phone] = account
        self.usernames[account.username.lower()] = account
        return account

    def add_channel(
        self,
        title: str,
        *,
        creator: int = 0,
        username: str = "",
        megagroup: bool = False,
        members: Iterable[int] = (),
        posters: Iterable[int] = (),
    ) -> Channel:
        """Create a channel or supergroup with members, some of whom may post."""
        channel = Channel(
            self._next_channel, title, username, megagroup, creator, self._box(), int(time.time())
        )
        self._next_channel += 1
        channel.posters = set(posters) | ({creator} if creator else set())
        self.channels[channel.id] = channel
        if username:
            self.usernames[username.lower()] = channel
        for member in {*members, *channel.posters}:
            self.join(channel, self.accounts[member])
        return channel

    def add_group(self, title: str, creator: int, members: Iterable[int] = ()) -> Group:
        """Create a basic group."""
        group = Group(self._next_group, title, creator, int(time.time()))
        self._next_group += 1
        self.groups[group.id] = group
        for member in {creator, *members}:
            group.members.add(member)
            self.accounts[member].dialogs[group.marked] = None
        return group

    def join(self, channel: Channel, account: Account) -> None:
        """Make an account a member of a channel."""
        channel.members.add(account.id)
        if channel.megagroup:
            channel.posters.add(account.id)
        account.dialogs[channel.marked] = None

    def find(self, chat: int) -> Peer | None:
        """Return what a marked id names, or None."""
        if chat > 0:
            return self.accounts.get(chat)
        if chat < -CHANNEL_BASE:
            return self.channels.get(-chat - CHANNEL_BASE)
        return self.groups.get(-chat)

    def post(
        self, channel: Channel, sender: int, text: str, **fields: Any
    ) -> tuple[Message, Event]:
        """Append a message to a channel."""
        message = self._append(channel.box, channel.marked, sender, text, **fields)
        return message, channel.box.record("new", (message.id,))

    def deliver(
        self, to: Account | Group, sender: Account, text: str, **fields: Any
    ) -> list[tuple[Account, Message, Event]]:
        """Put a private or group message into each participant's box.

        The sender's own copy comes first.
        """
        random_id = fields.pop("random_id", None)
        if isinstance(to, Group):
            others = [self.accounts[m] for m in sorted(to.members) if m != sender.id]
        else:
            others = [to] if to is not sender else []
        copies = []
        for account in [sender, *others]:
            chat = (
                to.marked if isinstance(to, Group) else (to.id if account is sender else sender.id)
            )
            own = {"out": True, "random_id": random_id} if account is sender else {}
            message = self._append(account.box, chat, sender.id, text, **fields, **own)
            account.dialogs[chat] = None
            copies.append((account, message, account.box.record("new", (message.id,))))
        return copies

    def edit(self, box: Box, message: Message, text: str, entities: list[Any]) -> Event:
        """Change a message's text; returns the logged event."""
        message.text = text
        message.entities = entities
        message.edited = int(time.time())
        return box.record("edit", (message.id,))

    def delete(self, box: Box, ids: Iterable[int]) -> Event | None:
        """Remove messages from a box; None when none of them was there."""
        gone = tuple(i for i in ids if box.messages.pop(i, None))
        return box.record("delete", gone) if gone else None

    def _box(self) -> Box:
        return Box(self.log_limit)

    def _append(self, box: Box, chat: int, sender: int, text: str, **fields: Any) -> Message:
        entities = fields.pop("entities", None) or []
        message = Message(
            box.next_id, chat, sender, text, entities, int(time.time()), time.monotonic(), **fields
        )
        box.next_id += 1
        box.messages[message.id] = message
        return message
