"""Executes the requests of one MTProto session, in the order that it asks for.

Source: core.telegram.org/api/invoking (sequential requests) and
/mtproto/service_messages_about_messages (a message that comes twice).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from telethon.tl import functions, types

from afx.sandbox.answers import Answer, Later, NoAnswer
from afx.sandbox.errors import RpcError
from afx.sandbox.mtproto import messages, service
from afx.sandbox.mtproto.session import Session, Waiting
from afx.sandbox.mtproto.wire import Line

_log = logging.getLogger(__name__)
_WAIT_SECONDS = 0.5
"""How long a request waits for those that it has to follow."""
_RESENT_BYTES = 1024
"""A longer answer is announced again, not sent again."""


def take_message(connection: Line, session: Session, msg_id: int, body: bytes) -> None:
    """Answer one accepted message of a client."""
    kind = messages.kind(body)
    if kind == messages.ACKS:
        _acknowledge(session, body)
        return
    if kind == messages.PING:
        ping_id = int.from_bytes(body[4:12], "little", signed=True)
        session.send(bytes(types.Pong(msg_id, ping_id)), related=False)
        return
    try:
        if kind == messages.GZIP_PACKED:
            body = messages.unpack(body)
        request = messages.read_object(body)
    except RpcError as error:
        _log.warning("a client's message could not be read: %s", error.message)
        _refuse(session, msg_id, error)
    else:
        _take_request(connection, session, msg_id, request)


def repeat_answer(session: Session, msg_id: int) -> None:
    """Answer a message that came before: it is not executed twice."""
    answer_id = session.incoming.received[msg_id]
    sent = session.outgoing.unacknowledged.get(answer_id)
    if sent is None:
        session.send(bytes(types.MsgsAck([msg_id])), related=False)
    elif len(sent[1]) <= _RESENT_BYTES:
        session.outgoing.add_again(answer_id)
        if session.carrier is not None:
            session.carrier.flush_soon()
    else:
        info = types.MsgDetailedInfo(msg_id, answer_id, len(sent[1]), 0)
        session.send(bytes(info), related=False)


def _acknowledge(session: Session, body: bytes) -> None:
    unacknowledged = session.outgoing.unacknowledged
    # msgs_ack#62d6b459 msg_ids:Vector<long>: a constructor, the vector's, a count, the ids.
    count = int.from_bytes(body[8:12], "little")
    for at in range(12, min(12 + 8 * count, len(body) - 7), 8):
        unacknowledged.pop(int.from_bytes(body[at : at + 8], "little", signed=True), None)


def _take_request(connection: Line, session: Session, msg_id: int, request: Any) -> None:
    if isinstance(request, service.NEEDS_NO_ANSWER):
        return
    key = connection.key
    assert key is not None
    if isinstance(request, functions.PingDelayDisconnectRequest):
        connection.close_after(request.disconnect_delay)
    if isinstance(request, functions.RpcDropAnswerRequest):
        result = service.drop_answer(session, request.req_msg_id)
        _settle(session, msg_id, bytes(result))
        return
    answer = service.answer(key, session, msg_id, request)
    if answer is not None:
        if answer:
            session.send(answer, related=False)
        if session.carrier is not None:
            session.carrier.flush_soon()
        return
    try:
        inner = service.unwrap(request, key, connection.wire.rules)
    except RpcError as error:
        _refuse(session, msg_id, error)
        return
    run = partial(_execute, connection, session, msg_id, inner)
    if not inner.after:
        run()
        return
    if not session.failed.isdisjoint(inner.after):
        _refuse(session, msg_id, RpcError(400, "MSG_WAIT_FAILED"))
    elif pending := session.unanswered(inner.after):
        _wait(connection, session, msg_id, pending, run)
    else:
        run()


def _wait(
    connection: Line,
    session: Session,
    msg_id: int,
    pending: set[int],
    run: Callable[[], None],
) -> None:
    def refuse(name: str) -> None:
        timer.cancel()
        _refuse(session, msg_id, RpcError(400, name))

    def go() -> None:
        timer.cancel()
        run()

    def give_up() -> None:
        if waiting in session.waiting:
            session.waiting.remove(waiting)
            refuse("MSG_WAIT_TIMEOUT")

    waiting = Waiting(pending, go, partial(refuse, "MSG_WAIT_FAILED"))
    timer = connection.wire.loop.call_later(_WAIT_SECONDS, give_up)
    session.waiting.append(waiting)


def _execute(connection: Line, session: Session, msg_id: int, inner: service.Unwrapped) -> None:
    key = connection.key
    assert key is not None

    def call() -> Answer:
        if key.revoked:
            raise RpcError(406, "AUTH_KEY_DUPLICATED")
        if not (connection.is_main or service.is_for_files(inner)):
            connection.wire.registry.used_for_api(connection)
        result = connection.wire.call(connection, inner.request)
        if inner.wants_updates and not connection.subscribed:
            connection.wire.registry.subscribe(connection)
        return result

    _finish(connection, session, msg_id, call)
    if key.revoked:
        connection.flush()
        connection.close()


def _finish(connection: Line, session: Session, msg_id: int, call: Callable[[], Answer]) -> None:
    try:
        answer = call()
    except RpcError as error:
        _refuse(session, msg_id, error)
        return
    if isinstance(answer, bytes):
        _settle(session, msg_id, answer)
    elif isinstance(answer, Later):
        later = partial(_finish, connection, session, msg_id, answer.finish)
        connection.wire.loop.call_later(answer.seconds, later)
    elif answer is NoAnswer.SESSION_LOST:
        connection.forget_session()
    else:
        session.incoming.received[msg_id] = session.outgoing.last_id
        session.settle(msg_id, failed=False)


def _settle(session: Session, msg_id: int, data: bytes, *, failed: bool = False) -> None:
    answer_id = session.send(messages.pack_result(msg_id, data))
    if msg_id in session.incoming.received:
        session.incoming.received[msg_id] = answer_id
    session.settle(msg_id, failed=failed)


def _refuse(session: Session, msg_id: int, error: RpcError) -> None:
    refusal = bytes(types.RpcError(error.code, error.message))
    _settle(session, msg_id, refusal, failed=True)
