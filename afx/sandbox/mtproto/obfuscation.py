"""Transport obfuscation: the server's side of a stream that looks random.

Source: core.telegram.org/mtproto/mtproto-transports, "Transport obfuscation".
"""

from __future__ import annotations

from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

HEADER_BYTES = 64


class Obfuscation:
    """The two key streams of one connection, made from its first 64 bytes."""

    __slots__ = ("_from_client", "_to_client", "protocol")

    def __init__(self, header: bytes) -> None:
        self._from_client = _stream(header)
        self._to_client = _stream(header[::-1])
        self.protocol = self._from_client.update(header)[56:60]
        """The four bytes that name the transport inside."""

    def decrypt(self, data: bytes) -> bytes:
        """Return what the client has sent."""
        return self._from_client.update(data)

    def encrypt(self, data: bytes) -> bytes:
        """Return what is to be sent to the client."""
        return self._to_client.update(data)


def _stream(header: bytes) -> CipherContext:
    return Cipher(AES(header[8:40]), CTR(header[40:56])).encryptor()
