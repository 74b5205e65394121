"""Telegram's messages as the values that the forwarding package works on."""

from __future__ import annotations

from typing import Any

from telethon import utils
from telethon.tl import types

from afx.forwarding.pipeline import Incoming


def incoming(message: Any) -> Incoming | None:
    """Return a TL message as a value; None for service and deleted messages."""
    if not isinstance(message, types.Message):
        return None
    return Incoming(
        utils.get_peer_id(message.peer_id),
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
