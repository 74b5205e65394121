"""Reads what Telegram pushes, and what it answers to sends, without users and chats.

Each of these names, beside a message of some hundred bytes, the user and the channel that it
is of, in full. Nothing here asks for them: peers are known by their ids, and access hashes
come with the answers to other requests. To read them takes longer than to read the message.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from struct import Struct
from typing import Any

from telethon.extensions import BinaryReader
from telethon.tl import types

_CONSTRUCTOR = Struct("<I")
_VECTOR = Struct("<Ii")
"""A vector's constructor, and its length."""
_TAIL = Struct("<ii")
"""The date and the number with which an ``updates`` ends."""
_A_VECTOR = 0x1CB5C415
_UPDATES = types.Updates.CONSTRUCTOR_ID
_EPOCH = datetime.fromtimestamp(0, UTC)


def read(body: bytes) -> Any:
    """Return the object that some bytes are; an ``updates`` has no users and chats.

    Raises what Telethon's reader raises for bytes that are no object.
    """
    with BinaryReader(body) as reader:
        return read_object(reader)


def read_object(reader: BinaryReader) -> Any:
    """Do the same with a reader; the object reaches to the end of its bytes.

    The layout of ``updates#74ae4240`` is that of core.telegram.org/constructor/updates: the
    updates, the users, the chats, a date, a number. One that looks otherwise is read whole.
    """
    stream, at = reader.stream, reader.position
    if len(stream) < at + _CONSTRUCTOR.size or _CONSTRUCTOR.unpack_from(stream, at)[0] != _UPDATES:
        return reader.tgread_object()
    reader.position += _CONSTRUCTOR.size
    them = reader.tgread_vector()
    end = len(stream) - _TAIL.size
    if end >= reader.position + 2 * _VECTOR.size:
        constructor, _count = _VECTOR.unpack_from(stream, reader.position)
        date, seq = _TAIL.unpack_from(stream, end)
        if constructor == _A_VECTOR and date > 0:
            return types.Updates(them, [], [], _EPOCH + timedelta(seconds=date), seq)
    reader.position = at
    return reader.tgread_object()
