"""What is not the API's: service requests, and the wrappers around requests.

Source: core.telegram.org/mtproto/service_messages and core.telegram.org/api/invoking.
"""

from __future__ import annotations

import time
from collections.abc import Set
from typing import Any

from telethon.tl import functions, types

from afx.sandbox.errors import RpcError
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


def unwrap(request: Any, failed: Set[int]) -> tuple[Any, bool]:
    """Return the request within invoke… wrappers, and whether it subscribes to updates.

    Raises RpcError when it must run after a message that has failed.
    """
    wants_updates = True
    while True:
        if isinstance(request, functions.InvokeAfterMsgRequest):
            if request.msg_id in failed:
                raise RpcError(400, "MSG_WAIT_FAILED")
        elif isinstance(request, functions.InvokeWithoutUpdatesRequest):
            wants_updates = False
        elif not isinstance(
            request, functions.InvokeWithLayerRequest | functions.InitConnectionRequest
        ):
            return request, wants_updates
        request = request.query
