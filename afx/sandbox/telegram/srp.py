"""The server's half of two-step verification: SRP-6a over 2048 bits.

Source: core.telegram.org/api/srp.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field
from hashlib import pbkdf2_hmac, sha256

from afx.sandbox import dh

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
        k = int.from_bytes(_hash(_bytes(dh.PRIME), _bytes(dh.GENERATOR)), "big")
        return _bytes((k * self.verifier.value + pow(dh.GENERATOR, self._b, dh.PRIME)) % dh.PRIME)

    def accepts(self, a: bytes, proof: bytes) -> bool:
        """Return whether a client's A and M1 prove that it knows the password."""
        verifier = self.verifier
        public_a = int.from_bytes(a, "big")
        if public_a % dh.PRIME == 0:
            return False
        prime, base = _bytes(dh.PRIME), _bytes(dh.GENERATOR)
        u = int.from_bytes(_hash(_bytes(public_a), self.public), "big")
        shared = pow(public_a * pow(verifier.value, u, dh.PRIME), self._b, dh.PRIME)
        mixed = bytes(x ^ y for x, y in zip(_hash(prime), _hash(base), strict=True))
        expected = _hash(
            mixed,
            _hash(verifier.salt1),
            _hash(verifier.salt2),
            _bytes(public_a),
            self.public,
            _hash(_bytes(shared)),
        )
        return secrets.compare_digest(expected, proof)


def verifier(password: str) -> Verifier:
    """Return what is kept of a password; its hash is PH2 of the protocol."""
    salt1, salt2 = os.urandom(16), os.urandom(16)

    def salted(data: bytes, salt: bytes) -> bytes:
        return _hash(salt, data, salt)

    first = salted(salted(password.encode(), salt1), salt2)
    x = salted(pbkdf2_hmac("sha512", first, salt1, _ROUNDS), salt2)
    return Verifier(salt1, salt2, pow(dh.GENERATOR, int.from_bytes(x, "big"), dh.PRIME))
