"""What is not the API's: service requests, and the wrappers around requests.

Source: core.telegram.org/mtproto/service_messages, /service_messages_about_messages and
core.telegram.org/api/invoking.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from telethon.tl import functions, types
from telethon.tl.alltlobjects import LAYER

from afx.sandbox.errors import RpcError
from afx.sandbox.mtproto.auth_key import AuthKey
from afx.sandbox.mtproto.session import Session
from afx.sandbox.strictness import Strictness

NEEDS_NO_ANSWER = (types.MsgsStateInfo, types.MsgsAllInfo, types.HttpWait)
_MOST_IDS = 8192


@dataclass(slots=True, frozen=True)
class Unwrapped:
    """A request without its wrappers, and what they ask for."""

    request: Any
    after: tuple[int, ...] = ()
    """Message ids of requests that have to succeed first."""
    wants_updates: bool = True


def answer(key: AuthKey, session: Session, msg_id: int, request: Any) -> bytes | None:
    """Return the answer to a service request; None when it is a request of the API."""
    if isinstance(request, functions.PingDelayDisconnectRequest):
        return bytes(types.Pong(msg_id, request.ping_id))
    if isinstance(request, functions.GetFutureSaltsRequest):
        now = int(time.time())
        left = key.salts.seconds_left(time.monotonic())
        return bytes(types.FutureSalts(msg_id, now, [types.FutureSalt(now, now + left, key.salt)]))
    if isinstance(request, functions.DestroySessionRequest):
        known = request.session_id != session.id and key.sessions.forget(request.session_id)
        kind = types.DestroySessionOk if known else types.DestroySessionNone
        return bytes(kind(request.session_id))
    if isinstance(request, types.MsgsStateReq):
        return _states(session, msg_id, request.msg_ids)
    if isinstance(request, types.MsgResendReq):
        known = [session.outgoing.add_again(it) for it in request.msg_ids]
        return b"" if all(known) else _states(session, msg_id, request.msg_ids)
    return None


def drop_answer(session: Session, msg_id: int) -> Any:
    """Return the result of rpc_drop_answer; the answer is not sent again."""
    state = session.incoming.received.get(msg_id)
    if state is None:
        return types.RpcAnswerUnknown()
    if session.incoming.is_running(msg_id):
        return types.RpcAnswerDroppedRunning()
    sent = session.outgoing.unacknowledged.pop(state, None)
    if sent is None:
        return types.RpcAnswerUnknown()
    return types.RpcAnswerDropped(state, sent[0], len(sent[1]))


def unwrap(request: Any, key: AuthKey, rules: Strictness) -> Unwrapped:
    """Return the request within invoke… wrappers.

    Raises RpcError for a layer that is not spoken here, and for a request of the API
    before the first initConnection.
    """
    after: tuple[int, ...] = ()
    wants_updates = True
    layer = 0
    while True:
        if isinstance(request, functions.InvokeAfterMsgRequest):
            after = (*after, request.msg_id)
        elif isinstance(request, functions.InvokeAfterMsgsRequest):
            after = (*after, *request.msg_ids)
        elif isinstance(request, functions.InvokeWithoutUpdatesRequest):
            wants_updates = False
        elif isinstance(request, functions.InvokeWithLayerRequest):
            layer = request.layer
            if layer != LAYER and rules.other_layers_refused:
                raise RpcError(400, "CONNECTION_LAYER_INVALID")
        elif isinstance(request, functions.InitConnectionRequest):
            key.layer = layer or key.layer
        else:
            break
        request = request.query
    return Unwrapped(request, after, wants_updates)


def is_for_files(inner: Unwrapped) -> bool:
    """Return whether a request may come on a connection that only transfers files."""
    if not inner.wants_updates or isinstance(inner.request, functions.help.GetConfigRequest):
        return True
    return type(inner.request).__module__.endswith(".upload")


def _states(session: Session, msg_id: int, msg_ids: list[int]) -> bytes:
    info = bytes(session.incoming.state(it) for it in msg_ids[:_MOST_IDS])
    return bytes(types.MsgsStateInfo(msg_id, info))
