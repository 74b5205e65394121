"""Telegram's updates about messages that exist, as values that the forwarding package works on.

Source: core.telegram.org/constructor/updateEditMessage and the pages of the other updates.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from telethon import utils
from telethon.tl import types

from afx.forwarding.changes import Change
from afx.forwarding.live import is_live
from afx.forwarding.topics import message_topic
from afx.telegram.messages import incoming
from afx.telegram.reading import Event


def change_of(update: Any) -> Change | None:
    """Return the change that an update tells of; None for all others.

    An edit that is not shown as one (``edit_hide``) is a reaction, a button or the like,
    or a live location that has moved.
    """
    if isinstance(update, types.UpdateEditChannelMessage | types.UpdateEditMessage):
        message = incoming(update.message)
        if message is None or (
            getattr(update.message, "edit_hide", False) and not is_live(update.message)
        ):
            return None
        return Change("edit", message.chat, (message.id,), message, update.pts)
    if isinstance(update, types.UpdateDeleteChannelMessages):
        return Change("delete", _marked(update.channel_id), tuple(update.messages))
    if isinstance(update, types.UpdateDeleteMessages):
        return Change("delete", 0, tuple(update.messages))
    if isinstance(update, types.UpdatePinnedChannelMessages):
        chat = _marked(update.channel_id)
        return Change("pin" if update.pinned else "unpin", chat, tuple(update.messages))
    if isinstance(update, types.UpdatePinnedMessages):
        chat = int(utils.get_peer_id(update.peer))
        return Change("pin" if update.pinned else "unpin", chat, tuple(update.messages))
    return None


def event_of(message: Any) -> Event:
    """Return what a new message tells: that it was posted, or that a topic was made or changed.

    A topic has the id of the message that made it; one that was changed has a service message
    in it that says so (core.telegram.org/api/forum).
    """
    action = getattr(message, "action", None)
    if action is None:
        return incoming(message)
    if isinstance(action, types.MessageActionTopicCreate):
        return Change("topic", int(utils.get_peer_id(message.peer_id)), (message.id,))
    if isinstance(action, types.MessageActionTopicEdit):
        return Change("topic", int(utils.get_peer_id(message.peer_id)), (message_topic(message),))
    return incoming(message)


def changes_of(updates: Iterable[Any]) -> list[Change]:
    """Return the changes that some updates tell of, in their order."""
    return [it for it in map(change_of, updates) if it is not None]


def _marked(channel: int) -> int:
    return int(utils.get_peer_id(types.PeerChannel(channel)))
