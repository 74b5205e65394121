"""The server's half of two-step verification: SRP-6a over 2048 bits.

Source: core.telegram.org/api/srp.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field
from hashlib import pbkdf2_hmac, sha256

from afx.sandbox.mtproto.handshake import DH_PRIME

GENERATOR = 3
_ROUNDS = 100_000


def _bytes(number: int) -> bytes:
    return number.to_bytes(256, "big")


def _hash(*parts: bytes) -> bytes:
    return sha256(b"".join(parts)).digest()


@dataclass(slots=True, frozen=True)
class Verifier:
    """What a server keeps of a password: salts, and g to the power of its hash."""

    salt1: bytes
    salt2: bytes
    value: int


@dataclass(slots=True)
class Challenge:
    """One question for a password: good for one answer."""

    verifier: Verifier
    id: int = field(default_factory=lambda: secrets.randbits(62))
    _b: int = field(default_factory=lambda: secrets.randbits(2040))

    @property
    def public(self) -> bytes:
        """B = k·v + g^b, which the client is sent."""
        k = int.from_bytes(_hash(_bytes(DH_PRIME), _bytes(GENERATOR)), "big")
        return _bytes((k * self.verifier.value + pow(GENERATOR, self._b, DH_PRIME)) % DH_PRIME)

    def accepts(self, a: bytes, proof: bytes) -> bool:
        """Return whether a client's A and M1 prove that it knows the password."""
        held = self.verifier
        public_a = int.from_bytes(a, "big")
        if public_a % DH_PRIME == 0:
            return False
        prime, base = _bytes(DH_PRIME), _bytes(GENERATOR)
        u = int.from_bytes(_hash(_bytes(public_a), self.public), "big")
        shared = pow(public_a * pow(held.value, u, DH_PRIME), self._b, DH_PRIME)
        mixed = bytes(x ^ y for x, y in zip(_hash(prime), _hash(base), strict=True))
        wanted = _hash(
            mixed,
            _hash(held.salt1),
            _hash(held.salt2),
            _bytes(public_a),
            self.public,
            _hash(_bytes(shared)),
        )
        return secrets.compare_digest(wanted, proof)


def verifier(password: str) -> Verifier:
    """Return what is kept of a password; its hash is PH2 of the protocol."""
    salt1, salt2 = os.urandom(16), os.urandom(16)

    def salted(data: bytes, salt: bytes) -> bytes:
        return _hash(salt, data, salt)

    first = salted(salted(password.encode(), salt1), salt2)
    x = salted(pbkdf2_hmac("sha512", first, salt1, _ROUNDS), salt2)
    return Verifier(salt1, salt2, pow(GENERATOR, int.from_bytes(x, "big"), DH_PRIME))
