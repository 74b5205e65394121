"""Why a session starts no new sends."""

from __future__ import annotations

from enum import IntFlag


class Pause(IntFlag):
    """Reasons, which may hold at once."""

    LEASE = 1
    """The node's lease was not renewed in time."""
    CONNECTION = 2
    """The connection is down."""
    STORAGE = 4
    """Too much of what was sent is not stored yet."""
