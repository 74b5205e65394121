"""Telegram logins at rest: encrypted with the cluster's key, never logged."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from afx.errors import SecretError

KEY_FILE = "secret.key"


class Vault:
    """Encrypts and decrypts with the newest of the cluster's keys first."""

    def __init__(self, keys: str) -> None:
        """Take Fernet keys, newest first, separated by commas.

        Raises SecretError when one is not a Fernet key.
        """
        self._keys = [key.strip() for key in keys.split(",") if key.strip()]
        try:
            self._fernet = MultiFernet([Fernet(key) for key in self._keys])
        except ValueError as error:
            raise SecretError(
                "The secret key is not a Fernet key; make one with 'afx key init'."
            ) from error

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

    def signing_key(self) -> bytes:
        """Return the 32 bytes by which the cluster's jobs are signed."""
        hkdf = HKDF(hashes.SHA256(), length=32, salt=None, info=b"afx jobs 1")
        return hkdf.derive(self._keys[0].encode())


def load_vault(home: Path, secret_key: str, *, create: bool = True) -> Vault:
    """Return the vault of ``secret_key``, else of the key file under ``home``.

    The key file is made, for its owner only, when it is missing and ``create``.
    Raises SecretError when there is no key.
    """
    if secret_key:
        return Vault(secret_key)
    path = home / KEY_FILE
    if create and not path.exists():
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            pass  # another process of this home was first
        except OSError as error:
            raise SecretError(f"No key can be written to {path} ({error.strerror}).") from error
        else:
            with os.fdopen(descriptor, "wb") as file:
                file.write(Fernet.generate_key())
    try:
        text = path.read_text()
    except OSError as error:
        raise SecretError(
            f"There is no secret key at {path}; set AFX_SECRET_KEY to the cluster's key."
        ) from error
    return Vault(text.replace("\n", ","))
