"""Sign-ins under way: codes that were sent, passwords that were asked for, QR codes."""

from __future__ import annotations

import secrets

from afx.sandbox.errors import RpcError
from afx.sandbox.telegram.qr import QrLogins
from afx.sandbox.telegram.srp import Challenge, Verifier


class SignIns:
    """The state of all sign-ins that are not finished."""

    def __init__(self) -> None:
        self.qr = QrLogins()
        self._codes: dict[str, tuple[str, str]] = {}
        """phone → (phone code hash, code)."""
        self._exports: dict[bytes, int] = {}
        """What signs in at another data centre → the account."""
        self._challenges: dict[int, Challenge] = {}

    def send_code(self, phone: str) -> str:
        """Make a code for a phone; returns its phone code hash."""
        token, code = secrets.token_hex(9), f"{secrets.randbelow(100_000):05d}"
        self._codes[phone] = (token, code)
        return token

    def code(self, phone: str) -> str:
        """Return the code that was sent to a phone; raises KeyError when there is none."""
        return self._codes[phone][1]

    def take_code(self, phone: str, token: str, code: str) -> None:
        """Use up a phone's code; raises RpcError when it is not the right one."""
        sent_token, sent_code = self._codes.get(phone, ("", ""))
        if not sent_token or sent_token != token:
            raise RpcError(400, "PHONE_CODE_EXPIRED")
        if sent_code != code:
            raise RpcError(400, "PHONE_CODE_INVALID")
        del self._codes[phone]

    def export(self, account: int) -> bytes:
        """Return what signs an account in at another data centre."""
        token = secrets.token_bytes(32)
        self._exports[token] = account
        return token

    def take_export(self, token: bytes) -> int:
        """Return the account that was exported so, once; else 0."""
        return self._exports.pop(token, 0)

    def challenge(self, verifier: Verifier) -> Challenge:
        """Ask for the password that a verifier was made of."""
        challenge = Challenge(verifier)
        self._challenges[challenge.id] = challenge
        return challenge

    def take_challenge(self, challenge_id: int) -> Challenge | None:
        """Return a challenge that has not been answered yet, once."""
        return self._challenges.pop(challenge_id, None)
