"""Telegram logins at rest: encrypted with the cluster's key, each for one session.

A sealed login is ``1.KEY_ID.BASE64``: a nonce and the ciphertext of AES-256-GCM. The
session's id is associated data: a login that is moved to another session, in SQL, in
a backup or in Redis, does not open there.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from afx.errors import SecretError
from afx.security.keyfile import audit_keys, read_keys

_VERSION = "1"
_NONCE_BYTES = 12
_OF_WEBHOOKS = b"afx webhook"
_OF_PROXIES = b"afx proxy\0"
_OF_SIGN_INS = b"afx sign-in\0"
_OF_ORDERS = b"afx order\0"
_OF_DEVICES = b"afx device\0"
_OF_HELD = b"afx held\0"
_OF_SNAPSHOTS = b"afx snapshot\0"


class Vault:
    """Encrypts with the newest of the cluster's keys, decrypts with any."""

    def __init__(self, keys: Sequence[str]) -> None:
        """Take the cluster's secret keys, newest first."""
        self._keys = list(keys)
        ciphers = [(_derive(it, b"afx logins 1")) for it in self._keys]
        self._ciphers = {_key_id(it): AESGCM(it) for it in ciphers}
        self._newest = _key_id(ciphers[0])
        of_tasks = [_derive(it, b"afx tasks 1") for it in self._keys]
        self._task_ciphers = {_key_id(it): AESGCM(it) for it in of_tasks}
        self._newest_of_tasks = _key_id(of_tasks[0])
        self._webhook_ciphers = [AESGCM(_derive(it, b"afx webhooks 1")) for it in self._keys]

    def seal_arguments(self, text: str, *, kind: str) -> str:
        """Encrypt the arguments of a task of a kind."""
        nonce = os.urandom(_NONCE_BYTES)
        cipher = self._task_ciphers[self._newest_of_tasks]
        sealed = cipher.encrypt(nonce, text.encode(), b"afx task\0" + kind.encode())
        encoded = base64.urlsafe_b64encode(nonce + sealed).decode()
        return f"{_VERSION}.{self._newest_of_tasks}.{encoded}"

    def open_arguments(self, sealed: str, *, kind: str) -> str:
        """Decrypt the arguments of a task of a kind; raises SecretError when no key fits."""
        version, _, rest = sealed.partition(".")
        key_id, _, encoded = rest.partition(".")
        cipher = self._task_ciphers.get(key_id)
        if version != _VERSION or cipher is None:
            raise SecretError(
                "A task's arguments do not open with this cluster's key; "
                "set AFX_SECRET_KEY to the key they were sealed with."
            )
        try:
            data = base64.b64decode(encoded, altchars=b"-_", validate=True)
            associated = b"afx task\0" + kind.encode()
            return cipher.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], associated).decode()
        except (InvalidTag, ValueError, binascii.Error) as error:
            raise SecretError(
                "The sealed arguments of a task were changed, or belong to another kind; "
                "submit the task again."
            ) from error

    def seal_webhook_secret(self, text: str) -> str:
        """Encrypt the secret of a webhook."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._webhook_ciphers[0].encrypt(nonce, text.encode(), _OF_WEBHOOKS)
        return f"{_VERSION}.{base64.urlsafe_b64encode(nonce + sealed).decode()}"

    def open_webhook_secret(self, sealed: str) -> str:
        """Decrypt the secret of a webhook; raises SecretError when no key fits."""
        version, _, encoded = sealed.partition(".")
        try:
            data = base64.b64decode(encoded, altchars=b"-_", validate=True)
        except (ValueError, binascii.Error):
            data = b""
        for it in self._webhook_ciphers if version == _VERSION else ():
            with suppress(InvalidTag, ValueError):
                return it.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], _OF_WEBHOOKS).decode()
        raise SecretError(
            "The secret of a webhook does not open with this cluster's key; make a new one with "
            "'afx webhook rotate'."
        )

    def seal(self, text: str, *, session_id: int) -> str:
        """Encrypt the login of a session."""
        return self._sealed(text, _associated(session_id))

    def open(self, sealed: str, *, session_id: int) -> str:
        """Decrypt the login of a session.

        Raises SecretError when no key fits, and when it is another session's.
        """
        changed = (
            f"The stored login of session {session_id} was changed, or belongs to another "
            "session; remove this session and sign in again."
        )
        return self._opened(sealed, _associated(session_id), "login", changed)

    def seal_proxy(self, text: str, *, proxy_id: int) -> str:
        """Encrypt a proxy, with what it asks for."""
        return self._sealed(text, _OF_PROXIES + str(proxy_id).encode())

    def open_proxy(self, sealed: str, *, proxy_id: int) -> str:
        """Decrypt a proxy; raises SecretError when no key fits, and when it is another one."""
        changed = (
            f"The stored proxy {proxy_id} was changed, or is another one; "
            "remove it and add it anew."
        )
        return self._opened(sealed, _OF_PROXIES + str(proxy_id).encode(), "proxy", changed)

    def seal_device(self, text: str, *, session_id: int) -> str:
        """Encrypt what a session says of itself: it has the hash of an application's id."""
        return self._sealed(text, _OF_DEVICES + str(session_id).encode())

    def open_device(self, sealed: str, *, session_id: int) -> str:
        """Decrypt what a session says of itself; raises SecretError."""
        changed = (
            f"The stored device of session {session_id} was changed, or is another one's; "
            "remove this session and import it again."
        )
        return self._opened(sealed, _OF_DEVICES + str(session_id).encode(), "device", changed)

    def seal_sign_in(self, text: str, *, session_id: int) -> str:
        """Encrypt how far a session's sign-in has come, which a client keeps."""
        return self._sealed(text, _OF_SIGN_INS + str(session_id).encode())

    def open_sign_in(self, sealed: str, *, session_id: int) -> str:
        """Decrypt how far a sign-in has come; raises SecretError."""
        associated = _OF_SIGN_INS + str(session_id).encode()
        return self._opened(sealed, associated, "sign-in", "It is no sign-in of this session.")

    def seal_order(self, text: str, *, session_id: int) -> str:
        """Encrypt what a sender of a pool is to send."""
        return self._sealed(text, _OF_ORDERS + str(session_id).encode())

    def open_order(self, sealed: str, *, session_id: int) -> str:
        """Decrypt what a sender is to send; raises SecretError when no key fits."""
        changed = f"What session {session_id} is to send was changed, or is another one's."
        return self._opened(sealed, _OF_ORDERS + str(session_id).encode(), "order", changed)

    def seal_held(self, text: str, *, of: str) -> str:
        """Encrypt what would be sent of a message that waits for an approval.

        ``of`` names the message: its content opens for no other one.
        """
        return self._sealed(text, _OF_HELD + of.encode())

    def open_held(self, sealed: str, *, of: str) -> str:
        """Decrypt what would be sent of a message; raises SecretError."""
        changed = (
            "The stored content of a held message was changed, or is another one's; reject the "
            "message, or approve it without its content."
        )
        return self._opened(sealed, _OF_HELD + of.encode(), "content", changed)

    def seal_snapshot(self, data: bytes, *, session_id: int) -> str:
        """Encrypt the content of a message that a session is to send."""
        return self._encrypted(data, _OF_SNAPSHOTS + str(session_id).encode())

    def open_snapshot(self, sealed: str, *, session_id: int) -> bytes:
        """Decrypt the content of a message; raises SecretError."""
        changed = f"A stored content of session {session_id} was changed, or is another one's."
        associated = _OF_SNAPSHOTS + str(session_id).encode()
        return self._decrypted(sealed, associated, "content", changed)

    def _sealed(self, text: str, associated: bytes) -> str:
        return self._encrypted(text.encode(), associated)

    def _encrypted(self, data: bytes, associated: bytes) -> str:
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._ciphers[self._newest].encrypt(nonce, data, associated)
        encoded = base64.urlsafe_b64encode(nonce + sealed).decode()
        return f"{_VERSION}.{self._newest}.{encoded}"

    def _opened(self, sealed: str, associated: bytes, what: str, changed: str) -> str:
        data = self._decrypted(sealed, associated, what, changed)
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise SecretError(changed) from error

    def _decrypted(self, sealed: str, associated: bytes, what: str, changed: str) -> bytes:
        """Decrypt what is stored; ``changed`` is said of what the key does not open."""
        version, _, rest = sealed.partition(".")
        key_id, _, encoded = rest.partition(".")
        cipher = self._ciphers.get(key_id)
        if version != _VERSION or cipher is None:
            raise SecretError(
                f"A stored {what} does not open with this cluster's key; "
                "set AFX_SECRET_KEY to the key it was stored with."
            )
        try:
            data = base64.b64decode(encoded, altchars=b"-_", validate=True)
            return cipher.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], associated)
        except (InvalidTag, ValueError, binascii.Error) as error:
            raise SecretError(changed) from error

    def output_secrets(self, session_id: int, url: str) -> list[str]:
        """Return what signs a session's requests to a URL of its rules, newest key first.

        They follow from the keys, so that nothing has to be stored, or sent to nodes.
        """
        text = f"{session_id}\0{url}".encode()
        digests = [
            hmac.digest(_derive(key, b"afx output 1"), text, hashlib.sha256) for key in self._keys
        ]
        return [f"whsec_{base64.urlsafe_b64encode(it).decode().rstrip('=')}" for it in digests]

    def signing_keys(self) -> list[bytes]:
        """Return the keys by which jobs and specs are signed, newest first."""
        return [_derive(key, b"afx jobs 1") for key in self._keys]

    def audit_keys(self) -> list[bytes]:
        """Return the keys that seal the audit log, newest first."""
        return audit_keys(self._keys)


def load_vault(home: Path, secret_key: str, *, create: bool = True) -> Vault:
    """Return the vault of the keys in force (see ``read_keys``)."""
    return Vault(read_keys(home, secret_key, create=create))


def _derive(key: str, purpose: bytes) -> bytes:
    hkdf = HKDF(hashes.SHA256(), length=32, salt=None, info=purpose)
    return hkdf.derive(key.encode())


def _key_id(key: bytes) -> str:
    return hashlib.sha256(b"afx login key id 1\0" + key).hexdigest()[:16]


def _associated(session_id: int) -> bytes:
    return b"afx login\0" + str(session_id).encode()
