"""Pushes events to the connections of the accounts that they concern."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import Any, Protocol

from telethon.tl import types

from afx.sandbox.telegram import views
from afx.sandbox.telegram.boxes import Event, Message
from afx.sandbox.telegram.peers import Account, Channel
from afx.sandbox.telegram.world import World


class Client(Protocol):
    """A connection, as far as the Telegram behind it needs to know it."""

    def push(self, body: bytes) -> None:
        """Send a message that answers nothing."""


class Pushes:
    """Sends each event to all live connections that may see it."""

    def __init__(self, world: World, live: Mapping[int, Collection[Client]]) -> None:
        """``live`` holds the connections of each account that receives updates."""
        self._world = world
        self._live = live

    def channel_event(
        self, channel: Channel, event: Event, message: Message | None, skip: Client | None = None
    ) -> None:
        """Push a channel's event to its members' connections, all but one."""
        sender = message.sender if message else 0
        body: bytes | None = None
        for member in channel.members:
            targets = self._live.get(member)
            if not targets:
                self._world.accounts[member].missed_channels.add(channel.id)
                continue
            for client in tuple(targets):
                if client is skip:
                    continue
                if member == sender:
                    client.push(self._channel_body(channel, event, message, member))
                    continue
                if body is None:
                    body = self._channel_body(channel, event, message, 0)
                client.push(body)

    def account_event(
        self, account: Account, event: Event, message: Message | None, skip: Client | None = None
    ) -> None:
        """Push an event of an account's own box to its connections, all but one."""
        targets = [it for it in self._live.get(account.id, ()) if it is not skip]
        if not targets:
            return
        if message and event.kind == "new" and message.forwarded is None:
            body = bytes(_short(event, message))
        else:
            update = views.update(event, account.box, account.id)
            if update is None:
                return
            users, chats = views.mentioned(self._world, [message] if message else [], account.id)
            body = bytes(views.updates([update], users, chats, int(time.time())))
        for client in targets:
            client.push(body)

    def _channel_body(
        self, channel: Channel, event: Event, message: Message | None, viewer: int
    ) -> bytes:
        update = views.update(event, channel.box, viewer, channel)
        users, chats = views.mentioned(self._world, [message] if message else [], viewer)
        return bytes(views.updates([update], users, chats, int(time.time())))


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
