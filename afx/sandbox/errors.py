"""The error by which the sandbox refuses a request, as Telegram does."""

from __future__ import annotations


class RpcError(Exception):
    """A request is refused, with Telegram's code and message.

    Source: core.telegram.org/api/errors.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
