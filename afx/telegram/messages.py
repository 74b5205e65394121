"""Telegram's messages as the values that the forwarding package works on."""

from __future__ import annotations

from typing import Any

from telethon import utils
from telethon.tl import types

from afx.forwarding.pipeline import Incoming
from afx.telegram.message_reading import HIGHEST_ID, MARK

_CHANNEL = types.PeerChannel


def marked_id(peer: Any) -> int:
    """Return the marked id of a peer as Telethon does, of a channel without asking it."""
    if type(peer) is _CHANNEL and 0 < peer.channel_id <= HIGHEST_ID:
        return int(-MARK - peer.channel_id)
    return int(utils.get_peer_id(peer))


def incoming(message: Any) -> Incoming | None:
    """Return a TL message as a value; None for service and deleted messages."""
    if not isinstance(message, types.Message):
        return None
    return Incoming(
        marked_id(message.peer_id),
        message.id,
        message.message or "",
        tuple(message.entities or ()),
        message.media is not None and not isinstance(message.media, types.MessageMediaWebPage),
        message,
    )


def incoming_short(update: Any) -> Incoming:
    """Return the message of an UpdateShortMessage or UpdateShortChatMessage."""
    is_group = isinstance(update, types.UpdateShortChatMessage)
    chat = -update.chat_id if is_group else update.user_id
    return Incoming(chat, update.id, update.message, tuple(update.entities or ()), False, update)
