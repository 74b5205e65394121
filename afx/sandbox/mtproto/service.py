"""Service requests: what a client asks of MTProto itself, outside of the API.

Source: core.telegram.org/mtproto/service_messages.
"""

from __future__ import annotations

import time
from typing import Any

from telethon.tl import functions, types

from afx.sandbox.mtproto.crypto import AuthKey

_SALT_SECONDS = 86_400
NEEDS_NO_ANSWER = (types.MsgsStateInfo, types.HttpWait)


def answer(key: AuthKey, msg_id: int, request: Any) -> bytes | None:
    """Return the answer to a service request; None when it is a request of the API."""
    if isinstance(request, functions.PingDelayDisconnectRequest):
        return bytes(types.Pong(msg_id, request.ping_id))
    if isinstance(request, functions.GetFutureSaltsRequest):
        now = int(time.time())
        salts = [types.FutureSalt(now, now + _SALT_SECONDS, key.salt)]
        return bytes(types.FutureSalts(msg_id, now, salts))
    if isinstance(request, functions.DestroySessionRequest):
        return bytes(types.DestroySessionNone(request.session_id))
    return None
