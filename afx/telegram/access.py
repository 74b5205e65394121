"""What an account may do in a chat, as Telegram tells of the chat itself.

Source: core.telegram.org/api/rights.
"""

from __future__ import annotations

from typing import Any

from telethon.tl import types


def why_unread(entity: Any) -> str:
    """Return why an account cannot read a chat; "" when nothing is against it."""
    if isinstance(entity, types.ChannelForbidden | types.ChatForbidden):
        return "Telegram keeps it out of there"
    if isinstance(entity, types.Chat) and (entity.left or entity.deactivated):
        return "it is no member"
    return ""


def why_mute(entity: Any) -> str:
    """Return why an account cannot post to a chat; "" when nothing is against it.

    Slow mode, payments and topics are not looked at: only a send tells.
    """
    if why := why_unread(entity):
        return why
    if not isinstance(entity, types.Channel | types.Chat) or entity.creator:
        return ""
    admin = entity.admin_rights
    if isinstance(entity, types.Channel) and not entity.megagroup and not entity.gigagroup:
        if admin is None or not admin.post_messages:
            return "only admins who may post messages post there, and it is none"
        return ""
    if isinstance(entity, types.Channel) and entity.left:
        return "it is no member"
    banned = getattr(entity, "banned_rights", None)
    if banned is not None and banned.send_messages:
        return "it was muted there"
    usual = entity.default_banned_rights
    if admin is None and usual is not None and usual.send_messages:
        return "only admins write there, and it is none"
    return ""
