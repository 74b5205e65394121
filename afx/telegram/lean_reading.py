"""Reads what Telegram pushes, and what it answers to sends, without users and chats.

Each of these names, beside a message of some hundred bytes, the user and the channel that it
is of, in full. Nothing here asks for them: peers are known by their ids, and access hashes
come with the answers to other requests. To read them takes longer than to read the message.
A message of a channel that is no source is not read at all: most of what a busy account is
pushed is of such channels.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from struct import Struct
from typing import Any

from telethon.extensions import BinaryReader
from telethon.tl import types

from afx.telegram.message_reading import MESSAGE, read_message, read_update

_CONSTRUCTOR = Struct("<I")
_VECTOR = Struct("<Ii")
"""A vector's constructor, and its length."""
_TAIL = Struct("<ii")
"""The date and the number with which an ``updates`` ends."""
_A_VECTOR = 0x1CB5C415
_UPDATES = types.Updates.CONSTRUCTOR_ID
_ONE_MESSAGE = Struct("<IIiIIIIi")
"""An ``updates`` of one update about a message, as far as the message's id."""
_ABOUT_CHANNELS = frozenset(
    {types.UpdateNewChannelMessage.CONSTRUCTOR_ID, types.UpdateEditChannelMessage.CONSTRUCTOR_ID}
)
_FROM, _BOOSTS, _RANK = 1 << 8, 1 << 29, 1 << 12
"""Flags of a message for what stands between its id and its chat; the last is of ``flags2``."""
_PEER = Struct("<Iq")
_CHANNEL = types.PeerChannel.CONSTRUCTOR_ID
_DIFFERENCE = Struct("<IIi")
"""Constructor, flags and position of a channel's difference."""
_FINAL, _TIMEOUT = 1 << 0, 1 << 1
_MOST_PASSED = 64
_EPOCH = datetime.fromtimestamp(0, UTC)


def read(body: bytes, followed: Container[int] | None = None) -> Any:
    """Return the object that some bytes are; an ``updates`` has no users and chats.

    ``followed``: the bare ids of the only channels whose messages are wanted; None for all.
    Raises what Telethon's reader raises for bytes that are no object.
    """
    if followed is not None and (passed := _unfollowed(body, followed)) is not None:
        return passed
    return read_object(BinaryReader(body))


def _unfollowed(body: bytes, followed: Container[int]) -> Any:
    """Return an ``updates`` without its message if that is of another channel; else None.

    The layout is that of ``message#7600b9d3`` (core.telegram.org/constructor/message): two
    integers of flags, its id, who sent it, the sender's boosts and rank, its chat. One of
    another layer looks otherwise, and is read whole.
    """
    at = _ONE_MESSAGE.size
    if len(body) < at + 2 * _PEER.size + _TAIL.size:
        return None
    kind, _, count, update, message, flags, flags2, _ = _ONE_MESSAGE.unpack_from(body)
    if kind != _UPDATES or count != 1 or message != MESSAGE or update not in _ABOUT_CHANNELS:
        return None
    if flags2 & _RANK:
        return None
    at += (_PEER.size if flags & _FROM else 0) + (4 if flags & _BOOSTS else 0)
    if at + _PEER.size + _TAIL.size > len(body):
        return None
    peer, chat = _PEER.unpack_from(body, at)
    date, seq = _TAIL.unpack_from(body, len(body) - _TAIL.size)
    if peer != _CHANNEL or chat in followed or date <= 0:
        return None
    return _passed(date, seq)


@lru_cache(_MOST_PASSED)
def _passed(date: int, seq: int) -> Any:
    """Return an ``updates`` with nothing in it; all of one second are the same."""
    return types.Updates([], [], [], _EPOCH + timedelta(seconds=date), seq)


def read_object(reader: BinaryReader) -> Any:
    """Do the same with a reader; the object reaches to the end of its bytes.

    The layout of ``updates#74ae4240`` is that of core.telegram.org/constructor/updates: the
    updates, the users, the chats, a date, a number. One that looks otherwise is read whole.
    """
    stream, at = reader.stream, reader.position
    if len(stream) < at + _CONSTRUCTOR.size or _CONSTRUCTOR.unpack_from(stream, at)[0] != _UPDATES:
        return reader.tgread_object()
    reader.position += _CONSTRUCTOR.size
    them = _read_vector(reader)
    end = len(stream) - _TAIL.size
    if end >= reader.position + 2 * _VECTOR.size:
        constructor, _count = _VECTOR.unpack_from(stream, reader.position)
        date, seq = _TAIL.unpack_from(stream, end)
        if constructor == _A_VECTOR and date > 0:
            return types.Updates(them, [], [], _EPOCH + timedelta(seconds=date), seq)
    reader.position = at
    return reader.tgread_object()


def read_channel_difference(reader: BinaryReader) -> Any:
    """Return the answer to ``updates.getChannelDifference``; nothing of it is left out.

    The layout of ``updates.channelDifference#2064674e`` is that of
    core.telegram.org/constructor/updates.channelDifference.
    """
    start = reader.position
    try:
        return _channel_difference(reader)
    except Exception:
        reader.position = start
        return reader.tgread_object()  # which says what is wrong, if it is


def _channel_difference(reader: BinaryReader) -> Any:
    kind, flags, pts = _DIFFERENCE.unpack_from(reader.stream, reader.position)
    if kind != types.updates.ChannelDifference.CONSTRUCTOR_ID:
        return reader.tgread_object()
    reader.position += _DIFFERENCE.size
    timeout = reader.read_int() if flags & _TIMEOUT else None
    return types.updates.ChannelDifference(
        pts=pts,
        new_messages=_read_vector(reader, read_message),
        other_updates=_read_vector(reader),
        chats=reader.tgread_vector(),
        users=reader.tgread_vector(),
        final=bool(flags & _FINAL),
        timeout=timeout,
    )


def _read_vector(
    reader: BinaryReader, read_one: Callable[[BinaryReader], Any] = read_update
) -> list[Any]:
    """Return the updates, or others, of a vector."""
    stream, at = reader.stream, reader.position
    if len(stream) < at + _VECTOR.size:
        return list(reader.tgread_vector())  # which says what is wrong
    constructor, count = _VECTOR.unpack_from(stream, at)
    if constructor != _A_VECTOR:
        return list(reader.tgread_vector())
    reader.position = at + _VECTOR.size
    return [read_one(reader) for _ in range(count)]
