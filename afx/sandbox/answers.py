"""What a request is answered with: bytes now, bytes later, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum


class NoAnswer(Enum):
    """The request was executed, and its answer is lost."""

    LOST = "lost"
    """The MTProto session stays."""
    SESSION_LOST = "session lost"
    """The server has forgotten the MTProto session with all that it was to send."""


@dataclass(slots=True, frozen=True)
class Later:
    """The request is running: its answer comes after some seconds."""

    seconds: float
    finish: Callable[[], Answer]
    """Executes it, and returns the answer; raises RpcError to refuse it."""


Answer = bytes | NoAnswer | Later
