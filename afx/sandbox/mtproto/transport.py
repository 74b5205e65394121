"""TCP transports of MTProto: full, abridged, intermediate, padded; plain or obfuscated.

Source: core.telegram.org/mtproto/mtproto-transports.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from enum import Enum
from zlib import crc32

from afx.sandbox.mtproto.obfuscation import HEADER_BYTES, Obfuscation

MAX_FRAME_BYTES = 16 * 1024 * 1024
_QUICK_ACK = 1 << 31
"""The client wants a quick acknowledgment; it is not given, which is allowed."""
_LEAST_PACKET = 20


class FramingError(Exception):
    """The peer sent bytes that no transport of MTProto allows."""


class Transport(Enum):
    """How packets are framed; the value is what the stream begins with."""

    FULL = b""
    ABRIDGED = b"\xef\xef\xef\xef"
    INTERMEDIATE = b"\xee\xee\xee\xee"
    PADDED = b"\xdd\xdd\xdd\xdd"


class Framer:
    """Cuts a byte stream into MTProto packets, and wraps packets to send.

    The transport is recognised by the first bytes of the stream. A stream that names
    none is obfuscated, unless its first packet has the number 0 of the full transport.
    """

    __slots__ = ("_buffer", "_obfuscation", "_sent", "_transport")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._transport: Transport | None = None
        self._obfuscation: Obfuscation | None = None
        self._sent = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield every whole packet that is now in the buffer.

        Raises FramingError on a bad length or checksum.
        """
        self._buffer += self._obfuscation.decrypt(data) if self._obfuscation else data
        if self._transport is None and not self._recognise():
            return
        while (packet := self._next()) is not None:
            yield packet

    def wrap(self, packet: bytes) -> bytes:
        """Frame one packet for the peer, in the transport that it chose."""
        framed = self._frame(packet)
        return self._obfuscation.encrypt(framed) if self._obfuscation else framed

    def _frame(self, packet: bytes) -> bytes:
        if self._transport is Transport.FULL:
            head = struct.pack("<ii", len(packet) + 12, self._sent) + packet
            self._sent += 1
            return head + struct.pack("<I", crc32(head))
        if self._transport is Transport.INTERMEDIATE:
            return struct.pack("<i", len(packet)) + packet
        if self._transport is Transport.PADDED:
            # No padding after a transport error: its length tells it from a packet. Up to
            # 15 bytes are allowed, but clients cut off at most 3.
            padding = os.urandom(os.urandom(1)[0] % 4) if len(packet) > 4 else b""
            return struct.pack("<i", len(packet) + len(padding)) + packet + padding
        words = len(packet) >> 2
        if words < 127:
            return bytes((words,)) + packet
        return b"\x7f" + words.to_bytes(3, "little") + packet

    def _recognise(self) -> bool:
        buffer = self._buffer
        if buffer[:1] == b"\xef":
            self._transport = Transport.ABRIDGED
            del buffer[:1]
            return True
        if len(buffer) < 8:
            return False
        for transport in (Transport.INTERMEDIATE, Transport.PADDED):
            if buffer[:4] == transport.value:
                self._transport = transport
                del buffer[:4]
                return True
        if buffer[4:8] == bytes(4):
            self._transport = Transport.FULL
            return True
        if len(buffer) < HEADER_BYTES:
            return False
        obfuscation = Obfuscation(bytes(buffer[:HEADER_BYTES]))
        try:
            self._transport = Transport(obfuscation.protocol)
        except ValueError as error:
            raise FramingError("the stream is of no transport of MTProto") from error
        self._obfuscation = obfuscation
        self._buffer = bytearray(obfuscation.decrypt(bytes(buffer[HEADER_BYTES:])))
        return True

    def _next(self) -> bytes | None:
        buffer = self._buffer
        if self._transport is Transport.FULL:
            return self._next_full()
        if self._transport is not Transport.ABRIDGED:
            head, size = 4, int.from_bytes(buffer[:4], "little") & ~_QUICK_ACK
        elif buffer and buffer[0] & 0x7F == 0x7F:
            head, size = 4, int.from_bytes(buffer[1:4], "little") << 2
        else:
            head, size = 1, (buffer[0] & 0x7F) << 2 if buffer else 0
        if len(buffer) < head:
            return None
        if size > MAX_FRAME_BYTES:
            raise FramingError(f"bad packet length {size}")
        if len(buffer) < head + size:
            return None
        packet = bytes(buffer[head : head + size])
        del buffer[: head + size]
        if self._transport is Transport.PADDED:
            return _without_padding(packet)
        return packet

    def _next_full(self) -> bytes | None:
        buffer = self._buffer
        if len(buffer) < 4:
            return None
        size = int.from_bytes(buffer[:4], "little")
        if not 12 <= size <= MAX_FRAME_BYTES:
            raise FramingError(f"bad packet length {size}")
        if len(buffer) < size:
            return None
        whole = bytes(buffer[:size])
        if crc32(whole[:-4]) != int.from_bytes(whole[-4:], "little"):
            raise FramingError("bad checksum")
        del buffer[:size]
        return whole[8:-4]


def _without_padding(packet: bytes) -> bytes:
    """Return a packet without its 0 to 15 random bytes.

    The length of an encrypted packet after its 24 bytes of header is a multiple of 16;
    an unencrypted one names its length.
    """
    if len(packet) < _LEAST_PACKET:
        return packet
    if packet[:8] == bytes(8):
        return packet[: 20 + int.from_bytes(packet[16:20], "little")]
    return packet[: len(packet) - (len(packet) - 24) % 16]
