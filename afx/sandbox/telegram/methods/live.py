"""Live locations move, and are stopped, by edits (core.telegram.org/api/live-location).

Assumed, since the page leaves it open: a stopped one has a period that is over; one whose
period is over, or that was forwarded, moves no more.
"""

from __future__ import annotations

import time
from typing import Any

from telethon.tl import types

from afx.sandbox.errors import RpcError
from afx.sandbox.telegram.boxes import Media, Message
from afx.sandbox.telegram.methods.input_media import Fixed, live_location


def moved(message: Message, wanted: Any) -> Media:
    """Return what an edit makes of a message's live location; raises RpcError."""
    before = message.media.media if isinstance(message.media, Fixed) else None
    if not isinstance(before, types.MessageMediaGeoLive) or message.copied_from:
        raise RpcError(400, "MEDIA_PREV_INVALID")
    age = int(time.time()) - message.date
    if age >= before.period:
        raise RpcError(400, "MESSAGE_EDIT_TIME_EXPIRED")
    if wanted.stopped:
        return Fixed(types.MessageMediaGeoLive(before.geo, max(1, age), heading=before.heading))
    if wanted.period is None:
        wanted.period = before.period
    return live_location(wanted)
