"""The errors by which the sandbox refuses a request or a packet, as Telegram does."""

from __future__ import annotations


class RpcError(Exception):
    """A request is refused, with Telegram's code and message.

    Source: core.telegram.org/api/errors.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class TransportError(Exception):
    """A packet is answered with an error of the transport, and the connection ends.

    Source: core.telegram.org/mtproto/mtproto-transports, "Transport errors".
    """

    def __init__(self, code: int) -> None:
        super().__init__(str(code))
        self.code = code
