"""What an MTProto connection knows of its key and its messages, and how it opens a packet.

Telethon's state with another constructor, and without its reader: that one gives up a whole
container when one message of it has an unknown constructor, and checks only the container's
id. Here a packet is taken apart first, and each of its messages is read by itself.
"""

from __future__ import annotations

import struct
import time
from array import array
from hashlib import sha256
from typing import Any

from telethon.crypto import AES
from telethon.errors import InvalidBufferError, SecurityError
from telethon.extensions import BinaryReader
from telethon.network.mtprotostate import (
    MAX_CONSECUTIVE_IGNORED,
    MAX_RECENT_MSG_IDS,
    MSG_TOO_NEW_DELTA,
    MSG_TOO_OLD_DELTA,
    MTProtoState,
)
from telethon.tl import functions, types
from telethon.tl.core import GzipPacked, MessageContainer

from afx.telegram.lazy import quiet

_KEY_ID = struct.Struct("<Q")
_CONSTRUCTOR = struct.Struct("<I")
_COUNT = struct.Struct("<i")
_HEAD = struct.Struct("<qqqii")
"""Salt, session, id, sequence number and length of a message."""
_INNER_HEAD = struct.Struct("<qii")
"""The same of a message in a container: id, sequence number and length."""
_ZIPPED = _CONSTRUCTOR.pack(GzipPacked.CONSTRUCTOR_ID)
_CONTAINER = _CONSTRUCTOR.pack(MessageContainer.CONSTRUCTOR_ID)
_AFTER = struct.Struct("<Iq")
"""An ``invokeAfterMsg``, as far as its query (core.telegram.org/method/invokeAfterMsg)."""
_ZIPPED_FROM, _NOT_ZIPPED = 500, 100 * 1024
"""Bytes of a message between which Telethon zips it, if that makes it shorter."""
_ENCRYPTED_AT = 24
_BLOCK = 16
_CORRECTIONS = frozenset(
    {types.BadServerSalt.CONSTRUCTOR_ID, types.BadMsgNotification.CONSTRUCTOR_ID}
)


class RecentIds:
    """The ids of the last messages that have arrived: none is taken twice.

    Source: core.telegram.org/mtproto/security_guidelines, "Checking msg_id". Eight bytes for
    each, where a deque of numbers takes 40.
    """

    __slots__ = ("_ids",)

    def __init__(self) -> None:
        self._ids = _NO_IDS

    def __contains__(self, message_id: object) -> bool:
        return message_id in self._ids

    def append(self, message_id: int) -> None:
        """Note an id; the oldest of too many is forgotten."""
        if not self._ids:
            self._ids = array("q")
        self._ids.append(message_id)
        if len(self._ids) > MAX_RECENT_MSG_IDS:
            del self._ids[0]

    def clear(self) -> None:
        """Forget all."""
        self._ids = _NO_IDS


_NO_IDS = array("q")


class State(MTProtoState):  # type: ignore[misc]
    """Encrypts and decrypts; its memory of recent ids is small."""

    _log = quiet
    time_offset = 0
    salt = 0
    _highest_remote_id: int

    def __init__(self, auth_key: Any) -> None:
        self.auth_key = auth_key
        self._recent_remote_ids = RecentIds()
        self.reset()

    def write_data_as_message(
        self, buffer: Any, data: bytes, content_related: bool, *, after_id: int | None = None
    ) -> Any:
        """Write a message, zipped as Telethon does: a part of a file would only take time."""
        if _ZIPPED_FROM < len(data) < _NOT_ZIPPED or (after_id and len(data) > _ZIPPED_FROM):
            return super().write_data_as_message(buffer, data, content_related, after_id=after_id)
        message_id = self._get_new_msg_id()
        sequence = self._get_seq_no(content_related)
        if after_id is not None:
            data = _AFTER.pack(functions.InvokeAfterMsgRequest.CONSTRUCTOR_ID, after_id) + data
        buffer.write(_INNER_HEAD.pack(message_id, sequence, len(data)) + data)
        return message_id

    def opened(self, packet: bytes) -> tuple[int, bytes]:
        """Return the id and the body of the message in a packet.

        Raises SecurityError for what the server cannot have sent in this session, and
        InvalidBufferError for an error of the transport
        (core.telegram.org/mtproto/security_guidelines).
        """
        if len(packet) < _KEY_ID.size:
            raise InvalidBufferError(packet)
        if _KEY_ID.unpack_from(packet)[0] != self.auth_key.key_id:
            raise SecurityError("it is of another key")
        size = len(packet) - _ENCRYPTED_AT
        if size < _HEAD.size or size % _BLOCK:
            raise SecurityError("it has no whole message")
        key, message_key = self.auth_key.key, packet[_KEY_ID.size : _ENCRYPTED_AT]
        aes_key, aes_iv = self._calc_key(key, message_key, False)
        plain = AES.decrypt_ige(packet[_ENCRYPTED_AT:], aes_key, aes_iv)
        if sha256(key[96:128] + plain).digest()[8:24] != message_key:
            raise SecurityError("it was changed on its way")
        _salt, session, message_id, _sequence, length = _HEAD.unpack_from(plain)
        if session != self.id:
            raise SecurityError("it is of another session")
        if message_id % 2 != 1:
            raise SecurityError("its id is one of a client")
        if not 0 <= length <= len(plain) - _HEAD.size:
            raise SecurityError("it is shorter than it says")
        return message_id, plain[_HEAD.size : _HEAD.size + length]

    def is_timely(self, message_id: int, body: bytes) -> bool:
        """Return whether a message is of this time, or corrects the clock or the salt."""
        if constructor(body) in _CORRECTIONS:
            if not self._highest_remote_id and not self.time_offset:
                self.update_time_offset(message_id)
            return True
        age = time.time() + self.time_offset - (message_id >> 32)
        return bool(-MSG_TOO_NEW_DELTA <= age <= MSG_TOO_OLD_DELTA)

    def ignored(self) -> bool:
        """Note that a packet was ignored; returns whether too many were, one after another."""
        self._ignore_count += 1
        return bool(self._ignore_count >= MAX_CONSECUTIVE_IGNORED)

    def is_new(self, message_id: int, highest: int) -> bool:
        """Note a message, and return whether it has not arrived before.

        ``highest``: of the ids that had arrived before its packet; what is above is new.
        """
        self._ignore_count = 0
        if message_id <= highest and message_id in self._recent_remote_ids:
            return False
        self._recent_remote_ids.append(message_id)
        self._highest_remote_id = max(self._highest_remote_id, message_id)
        return True

    def has_taken(self, message_id: int) -> bool:
        """Return whether a message has arrived before."""
        return message_id in self._recent_remote_ids


class UpdatesMissed:
    """Handed on like an update: some could not be read, or handed on, whatever they were of."""


def constructor(body: bytes) -> int:
    """Return the constructor of a message; 0 if it is too short to have one."""
    return int(_CONSTRUCTOR.unpack_from(body)[0]) if len(body) >= _CONSTRUCTOR.size else 0


def unzipped(body: bytes) -> bytes:
    """Return the body of a message, which may be zipped."""
    while body.startswith(_ZIPPED):
        with BinaryReader(body) as reader:
            body = GzipPacked.read(reader)
    return body


def inner_messages(body: bytes) -> list[tuple[int, bytes]] | None:
    """Return id and body of each message of a container, None for what is none.

    Raises ValueError or struct.error for a container that is not well formed.
    """
    if not body.startswith(_CONTAINER):
        return None
    found = []
    at = _CONSTRUCTOR.size + _COUNT.size
    for _ in range(_COUNT.unpack_from(body, _CONSTRUCTOR.size)[0]):
        message_id, _sequence, length = _INNER_HEAD.unpack_from(body, at)
        at += _INNER_HEAD.size
        if not 0 <= length <= len(body) - at:
            raise ValueError("a message of the container is shorter than it says")
        found.append((message_id, body[at : at + length]))
        at += length
    return found
