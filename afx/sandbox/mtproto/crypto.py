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

_RSA_BYTES = 256
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

    def __init__(self, private_pem: bytes = b"") -> None:
        """Make a new key, or take one that ``private_pem`` returned earlier.

        Raises ValueError when that is no RSA key.
        """
        if private_pem:
            key = serialization.load_pem_private_key(private_pem, None)
            if not isinstance(key, rsa.RSAPrivateKey) or key.key_size != 2048:
                raise ValueError("not an RSA key of 2048 bits")
        else:
            key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        numbers = key.private_numbers()
        self._d = numbers.d
        self.n = numbers.public_numbers.n
        self.e = numbers.public_numbers.e
        self.public_pem = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.PKCS1
        )
        self.private_pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        public = _tl_bytes(_big_endian(self.n)) + _tl_bytes(_big_endian(self.e))
        self.fingerprint = int(struct.unpack("<q", sha1(public).digest()[-8:])[0])

    def decrypt(self, block: bytes) -> bytes:
        """Return the data that a client has encrypted for the server.

        Source: core.telegram.org/mtproto/auth_key, RSA_PAD. Older clients, Telethon
        among them, send SHA-1, data and padding instead. Raises ValueError when the
        data fits neither.
        """
        number = int.from_bytes(block, "big")
        if len(block) != _RSA_BYTES or number >= self.n:
            raise ValueError("not a block of this key")
        plain = pow(number, self._d, self.n).to_bytes(_RSA_BYTES, "big")
        padded = _unpad(plain)
        if padded is not None:
            return padded
        if plain[0] == 0:
            # The hash is of the data alone, whose length only its reader knows.
            digest, data = plain[1:21], plain[21:]
            for size in range(len(data) - len(data) % 4, 0, -4):
                if sha1(data[:size]).digest() == digest:
                    return data[:size]
        raise ValueError("the hash of the data is wrong")


def _unpad(plain: bytes) -> bytes | None:
    """Undo RSA_PAD; None when the hash does not fit."""
    encrypted = plain[32:]
    mask = sha256(encrypted).digest()
    temp_key = bytes(a ^ b for a, b in zip(plain[:32], mask, strict=True))
    with_hash: bytes = AES.decrypt_ige(encrypted, temp_key, bytes(32))
    data = with_hash[:192][::-1]
    return data if sha256(temp_key + data).digest() == with_hash[192:] else None


def _big_endian(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _tl_bytes(data: bytes) -> bytes:
    head = bytes((len(data),)) if len(data) < 254 else b"\xfe" + len(data).to_bytes(3, "little")
    return head + data + bytes(-(len(head) + len(data)) % 4)
