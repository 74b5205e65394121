"""What encrypts the contents of messages, and the logins, that a session stores."""

from __future__ import annotations

from typing import Protocol


class Sealer(Protocol):
    """Encrypts what is stored (see ``Vault``)."""

    def seal(self, text: str, *, session_id: int) -> str:
        """Encrypt a login of a session."""

    def open(self, sealed: str, *, session_id: int) -> str:
        """Decrypt a login of a session; raises SecretError."""

    def seal_held(self, text: str, *, of: str) -> str:
        """Encrypt the content of a message that waits for an approval; ``of`` names it."""

    def seal_snapshot(self, data: bytes, *, session_id: int) -> str:
        """Encrypt a content."""

    def open_snapshot(self, sealed: str, *, session_id: int) -> bytes:
        """Decrypt a content; raises SecretError."""
