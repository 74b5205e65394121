"""The cluster's secret keys: from a setting, or from a file under the home.

It is separate from the vault, so that a process that only passes keys on does not load
the cryptography library.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
from pathlib import Path

from afx.errors import SecretError

KEY_FILE = "secret.key"
_KEY_BYTES = 32
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW


def read_keys(home: Path, secret_key: str, *, create: bool = True) -> list[str]:
    """Return the Fernet keys in force, newest first.

    ``secret_key`` has precedence over the key file. When the file is missing and ``create``
    is set, it is made with mode 0600. Raises SecretError when there is no valid key.
    """
    text = secret_key or _read_file(home / KEY_FILE, create=create)
    keys = split_keys(text)
    if not keys:
        raise SecretError(
            "The secret key is not a Fernet key (32 bytes in base64); correct AFX_SECRET_KEY "
            f"or {home / KEY_FILE}."
        )
    return keys


def split_keys(text: str) -> list[str]:
    """Return the Fernet keys of a text, one a line or separated by commas.

    Empty when it has none, or something that is no key.
    """
    keys = [it.strip() for it in text.replace("\n", ",").split(",") if it.strip()]
    return keys if all(_is_key(it) for it in keys) else []


def audit_keys(keys: list[str]) -> list[bytes]:
    """Return the keys that seal the audit log, newest first (HMAC-SHA256)."""
    return [hmac.digest(it.encode(), b"afx audit 1", "sha256") for it in keys]


def cookie_keys(keys: list[str]) -> list[bytes]:
    """Return the keys that seal the cookies of signed-in browsers, newest first (HMAC-SHA256)."""
    return [hmac.digest(it.encode(), b"afx cookie 1", "sha256") for it in keys]


def _read_file(path: Path, *, create: bool) -> str:
    if create and not path.exists():
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, _NEW_FILE, 0o600)
        except FileExistsError:
            pass  # another process of this home made it
        except OSError as error:
            raise SecretError(f"No key can be written to {path} ({error.strerror}).") from error
        else:
            with os.fdopen(descriptor, "wb") as file:
                file.write(base64.urlsafe_b64encode(os.urandom(_KEY_BYTES)))
    try:
        return path.read_text()
    except OSError as error:
        raise SecretError(
            f"There is no secret key at {path}; set AFX_SECRET_KEY to the cluster's key, or "
            "start the coordinator of this home first, which makes one."
        ) from error


def _is_key(text: str) -> bool:
    try:
        return len(base64.urlsafe_b64decode(text)) == _KEY_BYTES
    except (binascii.Error, ValueError):
        return False
