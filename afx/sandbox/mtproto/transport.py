"""TCP transports of MTProto: full, abridged and intermediate framing.

Source: core.telegram.org/mtproto/mtproto-transports.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from zlib import crc32

MAX_FRAME_BYTES = 16 * 1024 * 1024


class FramingError(Exception):
    """The peer sent bytes that no transport of MTProto allows."""


class Framer:
    """Cuts a byte stream into MTProto packets, and wraps packets to send.

    The transport is recognised by the first bytes of the stream: ``ef`` is
    abridged, ``eeeeeeee`` is intermediate, anything else is full.
    """

    __slots__ = ("_buffer", "_mode", "_sent")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._mode = ""
        self._sent = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield every whole packet that is now in the buffer.

        Raises FramingError on a bad length or checksum.
        """
        self._buffer += data
        if not self._mode and not self._recognise():
            return
        while (packet := self._next()) is not None:
            yield packet

    def wrap(self, packet: bytes) -> bytes:
        """Frame one packet for the peer, in the transport that it chose."""
        if self._mode == "full":
            head = struct.pack("<ii", len(packet) + 12, self._sent) + packet
            self._sent += 1
            return head + struct.pack("<I", crc32(head))
        if self._mode == "intermediate":
            return struct.pack("<i", len(packet)) + packet
        words = len(packet) >> 2
        if words < 127:
            return bytes((words,)) + packet
        return b"\x7f" + words.to_bytes(3, "little") + packet

    def _recognise(self) -> bool:
        buffer = self._buffer
        if not buffer:
            return False
        if buffer[0] == 0xEF:
            self._mode = "abridged"
            del buffer[:1]
        elif len(buffer) < 4:
            return False
        elif buffer[:4] == b"\xee\xee\xee\xee":
            self._mode = "intermediate"
            del buffer[:4]
        else:
            self._mode = "full"
        return True

    def _next(self) -> bytes | None:
        buffer = self._buffer
        if self._mode == "full":
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
        if self._mode == "intermediate":
            head, size = 4, int.from_bytes(buffer[:4], "little")
        elif buffer and buffer[0] == 0x7F:
            head, size = 4, int.from_bytes(buffer[1:4], "little") << 2
        else:
            head, size = 1, (buffer[0] << 2) if buffer else 0
        if len(buffer) < head:
            return None
        if size > MAX_FRAME_BYTES:
            raise FramingError(f"bad packet length {size}")
        if len(buffer) < head + size:
            return None
        packet = bytes(buffer[head : head + size])
        del buffer[: head + size]
        return packet
