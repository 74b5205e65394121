"""The bytes of the push that nearly all are: a new text in a channel.

Telethon's objects take most of what such a push costs, and the sandbox may not be what limits a
benchmark. What has more than a text is made of objects (``views``).
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Any

from telethon.tl import TLObject, types

from afx.sandbox.telegram.boxes import Event, Message
from afx.sandbox.telegram.peers import Channel

_VECTOR = Struct("<Ii")
_A_VECTOR = 0x1CB5C415
_EMPTY = _VECTOR.pack(_A_VECTOR, 0)
_HEAD = Struct("<IIiIIIIi")
"""An ``updates`` of one update about a message, as far as the message's id."""
_PEER = Struct("<Iq")
_DATE = Struct("<i")
_TAIL = Struct("<ii")
_FROM, _ENTITIES = 1 << 8, 1 << 7


def plain_push(
    event: Event,
    message: Message,
    channel: Channel,
    viewer: int,
    mentioned: tuple[Sequence[Any], Sequence[Any]],
    now: int,
) -> bytes | None:
    """Return what ``views.updates`` makes of a new message; None for one that is no plain text.

    ``mentioned`` are its users and chats as TL, ``now`` the date in Unix seconds. Source:
    core.telegram.org/constructor/message and /constructor/updates.
    """
    if event.kind != "new" or channel.box.messages.get(event.ids[0]) is not message:
        return None
    if message.entities or message.forwarded or message.reply_to or message.topic:
        return None
    if message.edited or message.markup is not None or message.grouped is not None:
        return None
    if message.action is not None or message.media is not None:
        return None
    broadcast = not channel.megagroup
    flags = (
        (message.sender == viewer) << 1
        | message.silent << 13
        | broadcast << 14
        | message.pinned << 24
        | message.noforwards << 26
        | message.above << 27
        | (0 if broadcast else _FROM)
        | (0 if message.entities is None else _ENTITIES)
    )
    head = _HEAD.pack(
        *(types.Updates.CONSTRUCTOR_ID, _A_VECTOR, 1),
        *(types.UpdateNewChannelMessage.CONSTRUCTOR_ID, types.Message.CONSTRUCTOR_ID),
        *(flags, 0, message.id),
    )
    parts = [
        head,
        b"" if broadcast else _PEER.pack(types.PeerUser.CONSTRUCTOR_ID, message.sender),
        _PEER.pack(types.PeerChannel.CONSTRUCTOR_ID, channel.id),
        _DATE.pack(message.date),
        TLObject.serialize_bytes(message.text),
        b"" if message.entities is None else _EMPTY,
        _TAIL.pack(event.pts, event.count),
    ]
    for peers in mentioned:
        parts.append(_VECTOR.pack(_A_VECTOR, len(peers)))
        parts += map(bytes, peers)
    parts.append(_TAIL.pack(now, 0))
    return b"".join(parts)
