"""Pushes events to the connections of the accounts that they concern."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from telethon.tl import types

from afx.sandbox.mischief import Dice
from afx.sandbox.telegram import mentions, views
from afx.sandbox.telegram.boxes import Event, Message
from afx.sandbox.telegram.peers import Account, Channel
from afx.sandbox.telegram.plain_pushes import plain_push
from afx.sandbox.telegram.world import World


class Client(Protocol):
    """A connection, as far as the Telegram behind it needs to know it."""

    @property
    def data_centre(self) -> int:
        """The number of the data centre that the client has connected to."""

    def push(self, body: bytes) -> None:
        """Send a message that answers nothing."""


class Chance(Protocol):
    """Where the mischief of now is found."""

    dice: Dice


@dataclass(slots=True, frozen=True)
class _Push:
    """One event for one account, and the forms in which it may be sent."""

    account: Account
    client: Client
    body: bytes
    channel: Channel | None
    updates: Callable[[], Any]
    """Returns it as an ``Updates`` with one update, users and chats."""


class Pushes:
    """Sends each event to all live connections that may see it."""

    def __init__(
        self,
        world: World,
        live: Mapping[int, Collection[Client]],
        chance: Chance,
        later: Callable[[float, Callable[[], None]], Any],
    ) -> None:
        """``live`` holds the connections of each account that receives updates.

        ``later`` calls a function after some seconds.
        """
        self._world = world
        self._live = live
        self._chance = chance
        self._later = later

    def channel_event(
        self, channel: Channel, event: Event, message: Message | None, skip: Client | None = None
    ) -> None:
        """Push a channel's event to its members' connections, all but one."""
        sender = message.sender if message else 0
        active = self._chance.dice.active
        shared: bytes | None = None
        for member in channel.members:
            targets = self._live.get(member)
            if not targets:
                self._world.accounts[member].missed_channels.add(channel.id)
                continue
            for client in tuple(targets):
                if client is skip:
                    continue
                if member == sender:
                    body = self._channel_body(channel, event, message, member)
                else:
                    if shared is None:
                        shared = self._channel_body(channel, event, message, 0)
                    body = shared
                if not active:
                    client.push(body)
                    continue

                def updates(member: int = member) -> Any:
                    return self._channel_updates(channel, event, message, member)

                account = self._world.accounts[member]
                self._by_chance(_Push(account, client, body, channel, updates))

    def account_event(
        self, account: Account, event: Event, message: Message | None, skip: Client | None = None
    ) -> None:
        """Push an event of an account's own box to its connections, all but one."""
        targets = [it for it in self._live.get(account.id, ()) if it is not skip]
        if not targets:
            return
        if message and event.kind == "new" and message.is_short:
            body = bytes(_short(event, message))
        else:
            found = self._account_updates(account, event, message)
            if found is None:
                return
            body = bytes(found)
        for client in targets:
            if self._chance.dice.active:

                def updates() -> Any:
                    return self._account_updates(account, event, message)

                self._by_chance(_Push(account, client, body, None, updates))
            else:
                client.push(body)

    def update(self, account: Account, update: Any, *peers: Any) -> None:
        """Push an update that belongs to no box, for example updateChannel."""
        users, chats = mentions.split(peers, account.id)
        body = bytes(views.updates([update], users, chats, int(time.time())))
        for client in tuple(self._live.get(account.id, ())):
            client.push(body)

    # --- mischief -----------------------------------------------------------------

    def _by_chance(self, push: _Push) -> None:
        """Send a push, or not, or otherwise than it should be (api/updates)."""
        dice = self._chance.dice
        kinds = dice.mischief
        body = push.body
        if dice.hits(kinds.omitted):
            if push.channel:
                push.account.missed_channels.add(push.channel.id)
            return
        if dice.hits(kinds.too_long):
            body = _too_long(push)
        elif push.channel and dice.hits(kinds.short):
            found = push.updates()
            body = bytes(types.UpdateShort(found.updates[0], found.date))
        elif dice.hits(kinds.combined):
            body = _combined(push)
        if dice.hits(kinds.late):
            self._later(dice.late_by(), lambda: push.client.push(body))
        else:
            push.client.push(body)
        if dice.hits(kinds.doubled):
            push.client.push(body)
        if dice.hits(kinds.empty):
            push.client.push(_empty(push))

    # --- bodies -------------------------------------------------------------------

    def _channel_updates(
        self, channel: Channel, event: Event, message: Message | None, viewer: int
    ) -> Any:
        update = views.update(event, channel.box, viewer, channel)
        users, chats = mentions.mentioned(self._world, [message] if message else [], viewer)
        return views.updates([update], users, chats, int(time.time()))

    def _channel_body(
        self, channel: Channel, event: Event, message: Message | None, viewer: int
    ) -> bytes:
        if message is not None:
            peers = mentions.mentioned(self._world, [message], viewer)
            plain = plain_push(event, message, channel, viewer, peers, int(time.time()))
            if plain is not None:
                return plain
        return bytes(self._channel_updates(channel, event, message, viewer))

    def _account_updates(self, account: Account, event: Event, message: Message | None) -> Any:
        update = views.update(event, account.box, account.id)
        if update is None:
            return None
        users, chats = mentions.mentioned(self._world, [message] if message else [], account.id)
        return views.updates([update], users, chats, int(time.time()))


def _too_long(push: _Push) -> bytes:
    """Return what says only that there is something to fetch."""
    if push.channel is None:
        return bytes(types.UpdatesTooLong())
    update = types.UpdateChannelTooLong(push.channel.id)
    chats = [views.chat(push.channel, push.account.id)]
    return bytes(views.updates([update], [], chats, int(time.time())))


def _combined(push: _Push) -> bytes:
    """Return a push that the account's seq counts."""
    found = push.updates()
    push.account.seq += 1
    seq = push.account.seq
    return bytes(
        types.UpdatesCombined(found.updates, found.users, found.chats, found.date, seq, seq)
    )


def _empty(push: _Push) -> bytes:
    """Return an update that moves no pts (pts_count 0)."""
    page = types.WebPageEmpty(1)
    if push.channel:
        update = types.UpdateChannelWebPage(push.channel.id, page, push.channel.box.pts, 0)
    else:
        update = types.UpdateWebPage(page, push.account.box.pts, 0)
    return bytes(views.updates([update], [], [], int(time.time())))


def _short(event: Event, message: Message) -> Any:
    common = {
        "date": message.date,
        "out": message.out,
        "entities": message.entities,
        "pts": event.pts,
        "pts_count": event.count,
        "id": message.id,
        "message": message.text,
    }
    if message.chat < 0:
        return types.UpdateShortChatMessage(from_id=message.sender, chat_id=-message.chat, **common)
    return types.UpdateShortMessage(user_id=message.chat, **common)
