"""The server's half of MTProto 2.0 encryption, and its RSA key.

Source: core.telegram.org/mtproto/description and /mtproto/auth_key.
"""

from __future__ import annotations

import os
import struct
from hashlib import sha1, sha256
from typing import Protocol

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from telethon.crypto import AES

HEADER = struct.Struct("<qqqii")  # salt, session id, message id, seq no, length


class CipherKey(Protocol):
    """A key, as far as encryption needs to know it."""

    data: bytes
    key_id: int


def _aes_key(auth_key: bytes, msg_key: bytes, x: int) -> tuple[bytes, bytes]:
    a = sha256(msg_key + auth_key[x : x + 36]).digest()
    b = sha256(auth_key[x + 40 : x + 76] + msg_key).digest()
    return a[:8] + b[8:24] + a[24:32], b[:8] + a[8:24] + b[24:32]


def decrypt(key: CipherKey, packet: bytes) -> bytes | None:
    """Return what a client's packet holds, or None when its msg_key is wrong."""
    if len(packet) < 24 + HEADER.size or (len(packet) - 24) % 16:
        return None
    msg_key = packet[8:24]
    plain: bytes = AES.decrypt_ige(packet[24:], *_aes_key(key.data, msg_key, 0))
    if sha256(key.data[88:120] + plain).digest()[8:24] != msg_key:
        return None
    return plain


def encrypt(key: CipherKey, plain: bytes) -> bytes:
    """Encrypt a server's message (header included) for the owner of ``key``."""
    plain += os.urandom(-(len(plain) + 12) % 16 + 12)
    msg_key = sha256(key.data[96:128] + plain).digest()[8:24]
    body: bytes = AES.encrypt_ige(plain, *_aes_key(key.data, msg_key, 8))
    return struct.pack("<Q", key.key_id) + msg_key + body


class ServerKey:
    """The sandbox's own RSA key, by which clients know whom they talk to."""

    def __init__(self) -> None:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        numbers = key.private_numbers()
        self._d = numbers.d
        self._n = numbers.public_numbers.n
        self.public_pem = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.PKCS1
        )
        public = _tl_bytes(_big_endian(self._n)) + _tl_bytes(_big_endian(65537))
        self.fingerprint = int(struct.unpack("<q", sha1(public).digest()[-8:])[0])

    def decrypt(self, block: bytes) -> bytes:
        """Undo Telethon's raw RSA: 255 bytes of SHA-1, data and padding."""
        number = pow(int.from_bytes(block, "big"), self._d, self._n)
        return number.to_bytes(256, "big")[1:]


def _big_endian(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _tl_bytes(data: bytes) -> bytes:
    head = bytes((len(data),)) if len(data) < 254 else b"\xfe" + len(data).to_bytes(3, "little")
    return head + data + bytes(-(len(head) + len(data)) % 4)
