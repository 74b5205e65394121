"""Telegram logins at rest: encrypted with the cluster's key, never logged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from afx.errors import SecretError
from afx.security.keyfile import read_keys


class Vault:
    """Encrypts with the newest of the cluster's keys, decrypts with any."""

    def __init__(self, keys: Sequence[str]) -> None:
        """Take Fernet keys, newest first."""
        self._keys = keys
        self._fernet = MultiFernet([Fernet(key) for key in keys])

    def seal(self, text: str) -> str:
        """Encrypt a login."""
        return self._fernet.encrypt(text.encode()).decode()

    def open(self, token: str) -> str:
        """Decrypt a login; raises SecretError when no key fits."""
        try:
            return self._fernet.decrypt(token.encode()).decode()
        except InvalidToken as error:
            raise SecretError(
                "A stored login does not open with this cluster's key; "
                "set AFX_SECRET_KEY to the key it was stored with."
            ) from error

    def signing_keys(self) -> list[bytes]:
        """Return the keys by which the cluster's jobs are signed, newest first."""
        return [_derive(key, b"afx jobs 1") for key in self._keys]


def load_vault(home: Path, secret_key: str, *, create: bool = True) -> Vault:
    """Return the vault of the keys in force (see ``read_keys``)."""
    return Vault(read_keys(home, secret_key, create=create))


def _derive(key: str, purpose: bytes) -> bytes:
    hkdf = HKDF(hashes.SHA256(), length=32, salt=None, info=purpose)
    return hkdf.derive(key.encode())
