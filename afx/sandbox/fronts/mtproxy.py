"""An MTProxy: tells by its secret who may come, and connects to the data centre that is named.

Source: core.telegram.org/mtproto/mtproto-transports, "Transport obfuscation".
"""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import Callable, Mapping
from hashlib import sha256

from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

from afx.sandbox.fronts.front import Change, Front, RefusedError

_HEAD_BYTES = 64
_KNOWN = (b"\xef\xef\xef\xef", b"\xee\xee\xee\xee", b"\xdd\xdd\xdd\xdd")


class MtProxy:
    """Greets as an MTProxy does: a client with another secret hears nothing."""

    def __init__(
        self, secret: bytes, addresses: Callable[[], Mapping[int, tuple[str, int]]]
    ) -> None:
        """``addresses`` returns where the data centres are."""
        self._secret = secret
        self._addresses = addresses

    async def __call__(
        self, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter, front: Front
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, Change, Change]:
        """Read the beginning of the stream; raises RefusedError."""
        head = await reader.readexactly(_HEAD_BYTES)
        from_client = _stream(head[8:40], head[40:56], self._secret)
        back = head[8:56][::-1]
        to_client = _stream(back[:32], back[32:], self._secret)
        plain = from_client.update(head)
        if plain[56:60] not in _KNOWN:
            raise RefusedError("another secret")
        [data_centre] = struct.unpack("<h", plain[60:62])
        found = self._addresses().get(abs(data_centre) % 10_000)
        if found is None:
            raise RefusedError(f"no data centre {data_centre}")
        from_server, server = await front.connect(*found)
        # On towards the sandbox the stream is obfuscated without a secret.
        own = bytearray(os.urandom(_HEAD_BYTES))
        own[0], own[4:8] = 0x77, b"\x01\x02\x03\x04"
        own[56:60] = plain[56:60]
        out, into = _plain_streams(bytes(own))
        server.write(bytes(own[:56]) + out.update(bytes(own))[56:])

        def to_server(data: bytes) -> bytes:
            return out.update(from_client.update(data))

        def from_sandbox(data: bytes) -> bytes:
            return to_client.update(into.update(data))

        return from_server, server, to_server, from_sandbox


def _plain_streams(head: bytes) -> tuple[CipherContext, CipherContext]:
    back = head[8:56][::-1]
    return (
        Cipher(AES(head[8:40]), CTR(head[40:56])).encryptor(),
        Cipher(AES(back[:32]), CTR(back[32:])).encryptor(),
    )


def _stream(key: bytes, vector: bytes, secret: bytes) -> CipherContext:
    return Cipher(AES(sha256(key + secret).digest()), CTR(vector)).encryptor()
