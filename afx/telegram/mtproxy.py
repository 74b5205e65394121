"""Packets as an MTProxy takes them: padded, in a stream that looks random.

Source: core.telegram.org/mtproto/mtproto-transports, "Padded intermediate" and "Transport
obfuscation". The proxy connects to the data centre that the first bytes name; what is
inside is encrypted for Telegram, as everywhere.
"""

from __future__ import annotations

import os
import struct
from hashlib import sha256

from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from telethon.errors import InvalidBufferError

_PADDED = b"\xdd\xdd\xdd\xdd"
_HEAD_BYTES = 64
_OTHER_BEGINNINGS = (
    b"HEAD",
    b"POST",
    b"GET ",
    b"OPTI",
    b"\xee\xee\xee\xee",
    _PADDED,
    b"\x16\x03\x01\x02",
)
"""What an obfuscated stream may not begin with."""
_LENGTH = struct.Struct("<I")
_MOST = 1 << 24
_MOST_PADDING = 15
_LEAST_PACKET = 20
"""Bytes of the shortest packet that is no error."""


class Obfuscated:
    """The framing of one connection to an MTProxy."""

    __slots__ = ("_buffer", "_in", "_out", "head", "is_unanswered")

    def __init__(self, secret: bytes, data_centre: int) -> None:
        """Begin a stream to a data centre; ``head`` is to be sent first."""
        head = _beginning()
        head[56:60] = _PADDED
        head[60:62] = struct.pack("<h", data_centre)
        back = bytes(head[8:56])[::-1]
        self._out = _stream(bytes(head[8:40]), bytes(head[40:56]), secret)
        self._in = _stream(back[:32], back[32:], secret)
        hidden = self._out.update(bytes(head))
        self.head = bytes(head[:56]) + hidden[56:]
        self._buffer = bytearray()
        self.is_unanswered = True
        """Whether no packet has arrived yet."""

    def packed(self, packet: bytes) -> bytes:
        """Return a packet as it is sent."""
        padding = os.urandom(os.urandom(1)[0] & _MOST_PADDING)
        size = _LENGTH.pack(len(packet) + len(padding))
        return bytes(self._out.update(b"".join((size, packet, padding))))

    def take(self, data: bytes) -> list[bytes]:
        """Return the packets that are complete now; raises InvalidBufferError."""
        buffer = self._buffer
        buffer += self._in.update(data)
        packets = []
        at, end = 0, len(buffer)
        while end - at >= _LENGTH.size:
            [length] = _LENGTH.unpack_from(buffer, at)
            length &= 0x7FFFFFFF  # the bit of a quick acknowledgement
            if not 4 <= length <= _MOST:
                raise InvalidBufferError(bytes(buffer[at : at + 4]))
            if end - at - _LENGTH.size < length:
                break
            at += _LENGTH.size
            packets.append(_without_padding(bytes(buffer[at : at + length])))
            at += length
        del buffer[:at]
        self.is_unanswered = self.is_unanswered and not packets
        return packets


def _beginning() -> bytearray:
    while True:
        head = bytearray(os.urandom(_HEAD_BYTES))
        if head[0] != 0xEF and head[:4] not in _OTHER_BEGINNINGS and any(head[4:8]):
            return head


def _stream(key: bytes, vector: bytes, secret: bytes) -> CipherContext:
    return Cipher(AES(sha256(key + secret).digest()), CTR(vector)).encryptor()


def _without_padding(packet: bytes) -> bytes:
    """Return a packet without its random bytes; raises InvalidBufferError for an error.

    After its 24 bytes of header an encrypted packet is a multiple of 16 bytes; one that is
    not encrypted names its length.
    """
    if len(packet) < _LEAST_PACKET:
        raise InvalidBufferError(packet[:4])  # the server says what is wrong
    if packet[:8] == bytes(8):
        return packet[: 20 + int.from_bytes(packet[16:20], "little")]
    return packet[: len(packet) - (len(packet) - 24) % 16]
