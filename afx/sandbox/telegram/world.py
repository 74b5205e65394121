"""All that the sandbox's Telegram holds; every change goes through the World."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from afx.sandbox.telegram.boxes import Box, Change, Event, Media, Message
from afx.sandbox.telegram.files import Files
from afx.sandbox.telegram.peers import CHANNEL_BASE, Account, Channel, Group, Invite, Peer

CHANNEL_LOG, COMMON_LOG = 100_000, 5_000_000
"""Events that a channel's box and an account's box usually hold (api/updates)."""


class World:
    """All accounts and chats; every change goes through its methods."""

    def __init__(self, *, log_limit: int = CHANNEL_LOG, common_log_limit: int = COMMON_LOG) -> None:
        """The limits are those of a channel's box, and of an account's own box."""
        self._log_limit = log_limit
        self._common_log_limit = common_log_limit
        self.accounts: dict[int, Account] = {}
        self.channels: dict[int, Channel] = {}
        self.groups: dict[int, Group] = {}
        self.usernames: dict[str, Peer] = {}
        self.phones: dict[str, Account] = {}
        self.bots: dict[str, Account] = {}
        """By their tokens."""
        self.invites: dict[str, Invite] = {}
        """By their hashes."""
        self.files = Files()
        self.posted = 0
        """Messages without a random_id: the control channel wrote them, not a client."""
        self.sent = 0
        """Messages that clients sent or forwarded."""
        self.changes: list[Change] = []
        """Every edit and delete, oldest first."""
        self._next_user = 1_000_001
        self._next_channel = 2_000_001
        self._next_group = 3_000_001

    def add_account(self, phone: str = "", name: str = "", username: str = "") -> Account:
        """Create an account; what is not given is made up."""
        number = self._next_user
        self._next_user += 1
        phone = phone or f"999{number:08d}"
        account = Account(
            number,
            phone,
            name or f"User {number}",
            username or f"user{number}",
            Box(self._common_log_limit),
        )
        self.accounts[number] = account
        self.phones[phone] = account
        self.usernames[account.username.lower()] = account
        return account

    def add_bot(self, name: str = "") -> Account:
        """Create a bot, with a token of the form that BotFather gives."""
        account = self.add_account(name=name)
        account.bot_token = f"{account.id}:{secrets.token_urlsafe(26)}"
        self.bots[account.bot_token] = account
        return account

    def add_channel(
        self,
        title: str,
        *,
        creator: int = 0,
        username: str = "",
        megagroup: bool = False,
        forum: bool = False,
        members: Iterable[int] = (),
        posters: Iterable[int] = (),
    ) -> Channel:
        """Create a channel, supergroup or forum with members, some of whom may post."""
        channel = Channel(
            self._next_channel,
            title,
            username,
            megagroup or forum,
            creator,
            Box(self._log_limit),
            int(time.time()),
        )
        self._next_channel += 1
        if forum:
            channel.set_forum(True)
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

    def invite(self, channel: int, *, asks: bool = False) -> Invite:
        """Make a link to a channel, by its bare id; where it ``asks``, an admin lets members in."""
        hash_ = secrets.token_urlsafe(12)
        while hash_.isdecimal():
            hash_ = secrets.token_urlsafe(12)
        made = Invite(hash_, self.channels[channel], asks, datetime.now(UTC))
        self.invites[made.hash] = made
        return made

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
        if "action" not in fields:
            self._count(fields.get("random_id"))
        message = self._append(channel.box, channel.marked, sender, text, **fields)
        return message, channel.box.record("new", (message.id,))

    def deliver(
        self, to: Account | Group, sender: Account, text: str, **fields: Any
    ) -> list[tuple[Account, Message, Event]]:
        """Put a private or group message into each participant's box.

        The sender's own copy comes first.
        """
        random_id = fields.pop("random_id", None)
        if "action" not in fields:
            self._count(random_id)
        answered = sender.box.messages.get(fields.pop("reply_to", None) or 0)
        reply_to = dict(answered.twins) if answered else {}
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
            own["reply_to"] = reply_to.get(account.id)
            message = self._append(account.box, chat, sender.id, text, **fields, **own)
            account.dialogs[chat] = None
            copies.append((account, message, account.box.record("new", (message.id,))))
        twins = tuple((account.id, message.id) for account, message, _ in copies)
        for _, message, _ in copies:
            message.twins = twins
        return copies

    def edit(
        self,
        box: Box,
        message: Message,
        text: str,
        entities: list[Any],
        *,
        media: Media | None = None,
        by: int = 0,
    ) -> Event:
        """Change a message as an account, its media if any are given; returns the event."""
        before = message.content
        message.earlier += (before,)
        message.text = text
        message.entities = entities
        message.media = media or message.media
        message.edited = int(time.time())
        now = time.monotonic()
        self.changes.append(Change("edit", by, now, box, message, before, message.content))
        return box.record("edit", (message.id,))

    def delete(self, box: Box, ids: Iterable[int], *, by: int = 0) -> Event | None:
        """Remove messages from a box as an account; None when none of them was there."""
        gone = [message for number in ids if (message := box.messages.pop(number, None))]
        now = time.monotonic()
        self.changes += [Change("delete", by, now, box, it, it.content, None) for it in gone]
        return box.record("delete", tuple(it.id for it in gone)) if gone else None

    def _count(self, random_id: int | None) -> None:
        if random_id is None:
            self.posted += 1
        else:
            self.sent += 1

    def _append(self, box: Box, chat: int, sender: int, text: str, **fields: Any) -> Message:
        entities = fields.pop("entities", None) or []
        message = Message(
            box.next_id, chat, sender, text, entities, int(time.time()), time.monotonic(), **fields
        )
        box.next_id += 1
        box.messages[message.id] = message
        return message
