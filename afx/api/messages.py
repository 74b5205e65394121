"""What an action of the dashboard did, kept for the next page: it is shown there once."""

from __future__ import annotations

import json
import os
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_MOST = 200
_KEPT_SECONDS = 120.0
_KEY = re.compile(r"[A-Za-z0-9_-]{16}", re.ASCII)
_NONCE_BYTES = 12


@dataclass(slots=True, frozen=True)
class Said:
    """What an action did; shown once, on the next page."""

    tone: str
    title: str
    text: str = ""
    secret: str = ""
    """A token that was made: the only time that it is shown."""


class Messages(Protocol):
    """Messages by random id: nothing of them is in an address."""

    def add(self, token: int, said: Said) -> str:
        """Keep a message for the bearer of a token; returns its id."""

    def take(self, token: int, key: str) -> Said | None:
        """Return a message once, to whom it is for."""


class MessagesInMemory:
    """Those of one process."""

    def __init__(self) -> None:
        self._said: OrderedDict[str, tuple[int, Said]] = OrderedDict()

    def add(self, token: int, said: Said) -> str:
        """Keep a message for the bearer of a token; returns its id."""
        key = secrets.token_urlsafe(12)
        self._said[key] = token, said
        while len(self._said) > _MOST:
            self._said.popitem(last=False)
        return key

    def take(self, token: int, key: str) -> Said | None:
        """Return a message once, to whom it is for."""
        found = self._said.get(key)
        if found is None or found[0] != token:
            return None
        del self._said[key]
        return found[1]


class MessagesInFiles:
    """Those of several processes: in a directory, sealed by a key that only they have.

    The directory may hold those of other processes, sealed by other keys; it is made when it
    is missing.
    """

    def __init__(
        self, directory: Path, key: bytes, *, now: Callable[[], float] = time.time
    ) -> None:
        self._directory = directory
        self._cipher = AESGCM(key)
        self._now = now

    def add(self, token: int, said: Said) -> str:
        """Keep a message for the bearer of a token; returns its id."""
        self._forget_old()
        key = secrets.token_urlsafe(12)
        nonce = os.urandom(_NONCE_BYTES)
        data = json.dumps(asdict(said)).encode()
        sealed = nonce + self._cipher.encrypt(nonce, data, f"{token} {key}".encode())
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._path(key), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(sealed)
        return key

    def take(self, token: int, key: str) -> Said | None:
        """Return a message once, to whom it is for."""
        if not _KEY.fullmatch(key):
            return None
        try:
            raw = self._path(key).read_bytes()
            nonce, sealed = raw[:_NONCE_BYTES], raw[_NONCE_BYTES:]
            data = self._cipher.decrypt(nonce, sealed, f"{token} {key}".encode())
            self._path(key).unlink()  # of two at once, one gets it
        except (OSError, InvalidTag, ValueError):
            return None
        return Said(**json.loads(data))

    def _path(self, key: str) -> Path:
        return self._directory / f"said-{key}"

    def _forget_old(self) -> None:
        old = self._now() - _KEPT_SECONDS
        for it in self._directory.glob("said-*"):
            with suppress(OSError):
                if it.stat().st_mtime < old:
                    it.unlink()
