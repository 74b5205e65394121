"""Reads updates about messages as Telethon does, in a fifth of its time.

Telethon reads each number by a call, and gives the constructor of a message fifty arguments of
which five are set. Here the attributes of a message with nothing in it are copied, and what
stands in the bytes is put over them. What is seldom in a message, and what does not look as it
should, is left to Telethon's reader: also to say what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from struct import Struct
from types import MappingProxyType
from typing import Any

from telethon.extensions import BinaryReader
from telethon.tl import types

_CONSTRUCTOR = Struct("<I")
_HEAD = Struct("<IIIi")
"""A message's constructor, two integers of flags, and its id."""
_PEER = Struct("<Iq")
_DATE = Struct("<i")
_COUNTS = Struct("<ii")
"""Views and forwards, or a position and how far it has moved."""
_LONG = Struct("<q")
_ID = Struct("<Iiq")
"""An ``updateMessageID``."""
_EPOCH = datetime.fromtimestamp(0, UTC)

MESSAGE = 0x7600B9D3
"""The constructor of which the layout is known here (core.telegram.org/constructor/message)."""
_MESSAGE_ID = types.UpdateMessageID.CONSTRUCTOR_ID
_ABOUT_MESSAGES: MappingProxyType[int, Any] = MappingProxyType(
    {
        it.CONSTRUCTOR_ID: it
        for it in (
            types.UpdateNewChannelMessage,
            types.UpdateNewMessage,
            types.UpdateEditChannelMessage,
            types.UpdateEditMessage,
        )
    }
)
"""All of them are a message, a position, and how far it has moved."""
_FROM, _FORWARD, _REPLY, _MEDIA, _MARKUP, _ENTITIES = 1 << 8, 1 << 2, 1 << 3, 1 << 9, 1 << 6, 1 << 7
_VIEWS, _REPLIES, _EDITED, _AUTHOR = 1 << 10, 1 << 23, 1 << 15, 1 << 16
_ALBUM, _REACTIONS = 1 << 17, 1 << 20
_BEFORE_DATE = _FORWARD | _REPLY
_BEHIND_TEXT = (
    _MEDIA | _MARKUP | _ENTITIES | _VIEWS | _REPLIES | _EDITED | _AUTHOR | _ALBUM | _REACTIONS
)
_SWITCHES = MappingProxyType(
    {
        1 << 1: "out",
        1 << 4: "mentioned",
        1 << 5: "media_unread",
        1 << 13: "silent",
        1 << 14: "post",
        1 << 18: "from_scheduled",
        1 << 19: "legacy",
        1 << 21: "edit_hide",
        1 << 24: "pinned",
        1 << 26: "noforwards",
        1 << 27: "invert_media",
    }
)
"""Flags that stand for themselves."""
_UNSET = (
    "offline",
    "video_processing_pending",
    "paid_suggested_post_stars",
    "paid_suggested_post_ton",
)
"""Those of the second integer, which is read here where it is 0."""
_SWITCHED = sum(_SWITCHES)
_POST, _OUT = 1 << 14, 1 << 1
_UNKNOWN = ~(_SWITCHED | _FROM | _BEFORE_DATE | _BEHIND_TEXT)
_USER, _CHAT = types.PeerUser.CONSTRUCTOR_ID, types.PeerChat.CONSTRUCTOR_ID
_CHANNEL = types.PeerChannel.CONSTRUCTOR_ID
_PEERS: MappingProxyType[int, Any] = MappingProxyType(
    {_USER: types.PeerUser, _CHAT: types.PeerChat, _CHANNEL: types.PeerChannel}
)
HIGHEST_ID = 9_999_999_999
"""Telethon takes higher ones of chats for marked ids."""
MARK = 1_000_000_000_000
"""Stands before the ids of channels, as -100 in the digits (core.telegram.org/api/bots/ids)."""
_LONG_TEXT = 254
"""A text's first byte if its length is in the next three (core.telegram.org/mtproto/serialize)."""
_MOST_KINDS = 64


class _OtherwiseError(Exception):
    """It does not look as what is read here."""


def read_update(reader: BinaryReader) -> Any:
    """Return the update that comes next; raises what Telethon's reader raises."""
    return _read(reader, _update)


def read_message(reader: BinaryReader) -> Any:
    """Return the message that comes next; raises what Telethon's reader raises."""
    return _read(reader, _message)


def _read(reader: BinaryReader, read: Callable[[BinaryReader], Any]) -> Any:
    start = reader.position
    try:
        found = read(reader)
    except Exception:
        found = None  # Telethon's reader says what is wrong, if it is
    if found is None:
        reader.position = start
        return reader.tgread_object()
    return found


def _update(reader: BinaryReader) -> Any:
    stream, at = reader.stream, reader.position
    [update] = _CONSTRUCTOR.unpack_from(stream, at)
    if update == _MESSAGE_ID:
        _, number, random_id = _ID.unpack_from(stream, at)
        reader.position = at + _ID.size
        return types.UpdateMessageID(number, random_id)
    about = _ABOUT_MESSAGES.get(update)
    if about is None:
        return None
    reader.position = at + _CONSTRUCTOR.size
    message = _message(reader)
    if message is None:
        return None
    pts, count = _COUNTS.unpack_from(stream, reader.position)
    reader.position += _COUNTS.size
    return about(message, pts, count)


def _message(reader: BinaryReader) -> Any:
    stream, at = reader.stream, reader.position
    kind, flags, flags2, number = _HEAD.unpack_from(stream, at)
    if kind != MESSAGE or flags2 or flags & _UNKNOWN:
        return None
    fields = _template(flags & _SWITCHED).copy()
    fields["id"] = number
    at += _HEAD.size
    sender = None
    if flags & _FROM:
        peer, bare = _PEER.unpack_from(stream, at)
        at += _PEER.size
        fields["from_id"], sender = _PEERS[peer](bare), _marked(peer, bare)
    peer, bare = _PEER.unpack_from(stream, at)
    at += _PEER.size
    fields["peer_id"] = fields["_chat_peer"] = _PEERS[peer](bare)
    marked = _marked(peer, bare)
    # Telethon says so of channels, and of what comes in private chats.
    if sender is None and (flags & _POST or (peer == _USER and not flags & _OUT)):
        sender = marked
    fields["_sender_id"] = sender
    if flags & _BEFORE_DATE:
        reader.position = at
        if flags & _FORWARD:
            fields["fwd_from"] = reader.tgread_object()
        if flags & _REPLY:
            fields["reply_to"] = reader.tgread_object()
        at = reader.position
    fields["date"] = _EPOCH + timedelta(seconds=_DATE.unpack_from(stream, at)[0])
    fields["message"], at = _text(stream, at + _DATE.size)
    reader.position = _read_rest(reader, at, flags, fields) if flags & _BEHIND_TEXT else at
    message = types.Message.__new__(types.Message)
    message.__dict__ = fields
    return message


def _read_rest(reader: BinaryReader, at: int, flags: int, fields: dict[str, Any]) -> int:
    """Read what stands behind a message's text; returns where it ends."""
    stream = reader.stream
    if flags & (_MEDIA | _MARKUP | _ENTITIES):
        reader.position = at
        if flags & _MEDIA:
            media = reader.tgread_object()
            fields["media"] = None if isinstance(media, types.MessageMediaEmpty) else media
        if flags & _MARKUP:
            fields["reply_markup"] = reader.tgread_object()
        if flags & _ENTITIES:
            fields["entities"] = reader.tgread_vector()
        at = reader.position
    if flags & _VIEWS:
        fields["views"], fields["forwards"] = _COUNTS.unpack_from(stream, at)
        at += _COUNTS.size
    if flags & _REPLIES:
        reader.position = at
        fields["replies"] = reader.tgread_object()
        at = reader.position
    if flags & _EDITED:
        fields["edit_date"] = _EPOCH + timedelta(seconds=_DATE.unpack_from(stream, at)[0])
        at += _DATE.size
    if flags & _AUTHOR:
        fields["post_author"], at = _text(stream, at)
    if flags & _ALBUM:
        [fields["grouped_id"]] = _LONG.unpack_from(stream, at)
        at += _LONG.size
    if flags & _REACTIONS:
        reader.position = at
        fields["reactions"] = reader.tgread_object()
        at = reader.position
    return at


@lru_cache(_MOST_KINDS)
def _template(flags: int) -> dict[str, Any]:
    """Return the attributes of a message with these flags and nothing in it, to be copied."""
    switches = {name: bool(flags & flag) for flag, name in _SWITCHES.items()}
    unset = dict.fromkeys(_UNSET, False)
    return dict(vars(types.Message(0, None, **switches, **unset)))


def _marked(peer: int, bare: int) -> int:
    """Return the marked id of a peer; raises _OtherwiseError for one that Telethon changes."""
    if peer == _USER:
        return bare
    if not 0 < bare <= HIGHEST_ID:
        raise _OtherwiseError
    return -bare if peer == _CHAT else -MARK - bare


def _text(stream: bytes, at: int) -> tuple[str, int]:
    """Return a text, and where it ends."""
    size, start = stream[at], at + 1
    if size >= _LONG_TEXT:
        if size > _LONG_TEXT:
            raise _OtherwiseError
        size, start = int.from_bytes(stream[start : start + 3], "little"), at + 4
    end = start + size
    behind = end + (at - end) % 4
    if behind > len(stream):
        raise _OtherwiseError
    return str(stream[start:end], "utf-8", "replace"), behind
