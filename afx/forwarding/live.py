"""Live locations: messages that move for a time, by edits.

Source: core.telegram.org/api/live-location and constructor/messageMediaGeoLive, of which alone
the field ``period`` is: seconds since the message was posted. That one which was stopped has a
period that is over, and that its edits are not shown as ones, is what clients see.
"""

from __future__ import annotations

from typing import Any


def is_live(message: Any) -> bool:
    """Return whether one of Telegram's messages is, or was, a live location."""
    return isinstance(getattr(getattr(message, "media", None), "period", None), int)


def is_over(message: Any) -> bool:
    """Return whether a live location does not move any more, by its last edit."""
    edited = getattr(message, "edit_date", None)
    if edited is None:
        return False
    age = (edited - message.date).total_seconds()
    return bool(message.media.period <= max(1, age))
