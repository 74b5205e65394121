"""How the world looks in TL: users, chats, messages and updates as objects."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from telethon.tl import TLObject, types

from afx.sandbox.telegram.boxes import Box, Event, Message
from afx.sandbox.telegram.files import File
from afx.sandbox.telegram.peers import (
    CHANNEL_BASE,
    Account,
    Channel,
    Group,
    access_hash,
)


class Raw(TLObject):  # type: ignore[misc]
    """A TL object that is serialized already: shared bodies cost once."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data

    def _bytes(self) -> bytes:
        return self.data


TRUE = Raw(b"\xb5\x75\x72\x99")
"""boolTrue#997275b5: Telethon has no type for it."""


def peer(chat: int) -> Any:
    """Return the TL peer of a marked id."""
    if chat > 0:
        return types.PeerUser(chat)
    if chat < -CHANNEL_BASE:
        return types.PeerChannel(-chat - CHANNEL_BASE)
    return types.PeerChat(-chat)


def marked(tl_peer: Any, self_id: int) -> int:
    """Return the marked id of any TL peer or input peer."""
    if isinstance(tl_peer, types.InputPeerSelf | types.InputUserSelf):
        return self_id
    if (number := getattr(tl_peer, "channel_id", None)) is not None:
        return int(-(CHANNEL_BASE + number))
    if (number := getattr(tl_peer, "chat_id", None)) is not None:
        return int(-number)
    return int(getattr(tl_peer, "user_id", 0))


def user(account: Account, viewer: int = 0) -> Any:
    """Return an account as TL; ``is_self`` is set for the viewer's own."""
    own = account.id == viewer
    return types.User(
        account.id,
        is_self=own,
        contact=own,
        min=not viewer,
        access_hash=account.hash_for(viewer),
        first_name=account.first_name,
        username=account.username if not account.usernames else None,
        phone=account.phone if own and not account.is_bot else None,
        bot=account.is_bot,
        premium=account.premium,
        bot_info_version=1 if account.is_bot else None,
        usernames=_usernames(account),
    )


def _usernames(peer: Account | Channel) -> list[Any]:
    """Return the list that takes the place of ``username`` when there are several.

    Source: core.telegram.org/constructor/channel and /constructor/username.
    """
    if not peer.usernames:
        return []
    names = [types.Username(peer.username, editable=True, active=True)]
    return names + [types.Username(it, active=True) for it in peer.usernames]


def chat(it: Channel | Group, viewer: int = 0) -> Any:
    """Return a channel or group as TL."""
    if isinstance(it, Group):
        return types.Chat(
            it.id,
            it.title,
            types.ChatPhotoEmpty(),
            len(it.members),
            it.date,
            1,
            creator=it.creator == viewer,
            deactivated=bool(it.migrated_to),
            migrated_to=_input_channel(it.migrated_to, viewer) if it.migrated_to else None,
        )
    if viewer and viewer in it.banned:
        return types.ChannelForbidden(
            it.id, it.hash_for(viewer), it.title, broadcast=not it.megagroup, megagroup=it.megagroup
        )
    return types.Channel(
        it.id,
        it.title,
        types.ChatPhotoEmpty(),
        it.date,
        creator=bool(viewer) and it.creator == viewer,
        admin_rights=_rights(it, viewer),
        banned_rights=_bans(it, viewer),
        left=bool(viewer) and viewer not in it.members,
        broadcast=not it.megagroup,
        megagroup=it.megagroup,
        forum=it.topics is not None,
        noforwards=it.noforwards,
        min=not viewer,
        slowmode_enabled=bool(it.slow_mode_seconds),
        access_hash=it.hash_for(viewer),
        username=None if it.usernames else it.username or None,
        usernames=_usernames(it),
    )


def _rights(it: Channel, viewer: int) -> Any:
    """Return what an admin of a broadcast channel may do; None for others."""
    is_admin = bool(viewer) and not it.megagroup and viewer in it.posters
    return types.ChatAdminRights(post_messages=True) if is_admin else None


def _bans(it: Channel, viewer: int) -> Any:
    """Return what a muted member may not do; None for others."""
    if not viewer or viewer not in it.muted:
        return None
    return types.ChatBannedRights(datetime.fromtimestamp(0, UTC), send_messages=True)


def _input_channel(number: int, viewer: int) -> Any:
    return types.InputChannel(number, access_hash("channel", number, viewer))


def message(it: Message, channel: Channel | None = None, *, out: bool | None = None) -> Any:
    """Return a message as TL, as its owner or (with ``out``) a member sees it."""
    broadcast = channel is not None and not channel.megagroup
    if it.action is not None:
        return types.MessageService(
            it.id,
            peer(it.chat),
            action=it.action,
            date=datetime.fromtimestamp(it.date, UTC),
            out=it.out if out is None else out,
            post=broadcast,
            from_id=None if broadcast or not it.sender else types.PeerUser(it.sender),
            reply_to=_reply_header(it),
        )
    forwarded = None
    if it.forwarded:
        origin, origin_id, date = it.forwarded
        from_channel = origin < -CHANNEL_BASE
        forwarded = types.MessageFwdHeader(
            datetime.fromtimestamp(date, UTC),
            from_id=peer(origin),
            channel_post=origin_id if from_channel else None,
        )
    return types.Message(
        it.id,
        peer(it.chat),
        datetime.fromtimestamp(it.date, UTC),
        it.text,
        out=it.out if out is None else out,
        post=broadcast,
        pinned=it.pinned,
        noforwards=it.noforwards,
        silent=it.silent,
        invert_media=it.above,
        from_id=None if broadcast else types.PeerUser(it.sender),
        fwd_from=forwarded,
        reply_to=_reply_header(it),
        entities=it.entities,
        media=_media(it, channel),
        grouped_id=it.grouped,
        reply_markup=it.markup,
        edit_hide=bool(it.edited) and _is_live(it),
        edit_date=datetime.fromtimestamp(it.edited, UTC) if it.edited else None,
    )


def _media(it: Message, channel: Channel | None) -> Any:
    if it.media is None:
        return None
    if isinstance(it.media, File) and (it.noforwards or (channel and channel.noforwards)):
        return it.media.view(is_protected=True)
    return it.media.view()


def _is_live(it: Message) -> bool:
    """Return whether its edits are not shown as ones; it is assumed of live locations."""
    return isinstance(getattr(it.media, "media", None), types.MessageMediaGeoLive)


def _reply_header(it: Message) -> Any:
    """Return what a message answers, and in which topic (api/forum, constructor/message)."""
    if not it.topic:
        return types.MessageReplyHeader(reply_to_msg_id=it.reply_to) if it.reply_to else None
    if it.reply_to is None:
        return types.MessageReplyHeader(forum_topic=True, reply_to_msg_id=it.topic)
    return types.MessageReplyHeader(
        forum_topic=True, reply_to_msg_id=it.reply_to, reply_to_top_id=it.topic
    )


def update(event: Event, box: Box, viewer: int, channel: Channel | None = None) -> Any | None:
    """Return a logged event as an update; None when its message is gone."""
    if event.kind == "delete":
        if channel:
            return types.UpdateDeleteChannelMessages(
                channel.id, list(event.ids), event.pts, event.count
            )
        return types.UpdateDeleteMessages(list(event.ids), event.pts, event.count)
    stored = box.messages.get(event.ids[0])
    if stored is None:
        return None
    if event.kind in ("pin", "unpin"):
        return _pinned(event, stored, channel)
    if channel:
        seen = message(stored, channel, out=stored.sender == viewer)
        kind = (
            types.UpdateEditChannelMessage
            if event.kind == "edit"
            else types.UpdateNewChannelMessage
        )
    else:
        seen = message(stored)
        kind = types.UpdateEditMessage if event.kind == "edit" else types.UpdateNewMessage
    return kind(seen, event.pts, event.count)


def _pinned(event: Event, stored: Message, channel: Channel | None) -> Any:
    moved = (list(event.ids), event.pts, event.count, event.kind == "pin")
    if channel:
        return types.UpdatePinnedChannelMessages(channel.id, *moved)
    return types.UpdatePinnedMessages(peer(stored.chat), *moved)


def updates(them: list[Any], users: list[Any], chats: list[Any], date: int) -> Any:
    """Wrap updates for sending; ``seq`` 0 means: not numbered."""
    return types.Updates(them, users, chats, datetime.fromtimestamp(date, UTC), 0)
