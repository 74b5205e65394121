"""Sending and forwarding messages."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from telethon.tl import functions, types

from afx.sandbox.errors import RpcError
from afx.sandbox.telegram import views
from afx.sandbox.telegram.boxes import Event, Message
from afx.sandbox.telegram.methods.call import Call, method
from afx.sandbox.telegram.peers import Account, Channel, Peer

_MAX_TEXT = 4096
_SENT_AT_ONCE = timedelta(seconds=10)


@method(functions.messages.SendMessageRequest)
def send_message(call: Call, request: Any) -> Any:
    """Send a text; the answer holds the sender's own updates.

    Source: core.telegram.org/method/messages.sendMessage.
    """
    _check_schedule(request.schedule_date)
    peer = call.peer(request.peer)
    if not request.message.strip():
        raise RpcError(400, "MESSAGE_EMPTY")
    if len(request.message) > _MAX_TEXT:
        raise RpcError(400, "MESSAGE_TOO_LONG")
    _check(call, peer, [request.random_id])
    reply_to = getattr(request.reply_to, "reply_to_msg_id", None)
    message, event = _deliver(
        call,
        peer,
        request.message,
        request.random_id,
        entities=request.entities,
        reply_to=reply_to,
    )
    if isinstance(peer, Account):
        return types.UpdateShortSentMessage(
            message.id,
            event.pts,
            event.count,
            datetime.fromtimestamp(message.date, UTC),
            out=True,
            entities=message.entities,
        )
    return _answer(call, peer, [(message, event, request.random_id)])


@method(functions.messages.ForwardMessagesRequest)
def forward_messages(call: Call, request: Any) -> Any:
    """Forward messages, with or without naming their author.

    Source: core.telegram.org/method/messages.forwardMessages.
    """
    _check_schedule(request.schedule_date)
    source = call.peer(request.from_peer)
    target = call.peer(request.to_peer)
    if isinstance(source, Channel):
        if call.me.id not in source.members:
            raise RpcError(400, "CHANNEL_PRIVATE")
        if source.noforwards:
            raise RpcError(400, "CHAT_FORWARDS_RESTRICTED")
    box = source.box if isinstance(source, Channel) else call.me.box
    found = [box.messages.get(number) for number in request.id]
    if not found or len(request.id) != len(request.random_id) or not all(found):
        raise RpcError(400, "MESSAGE_ID_INVALID")
    _check(call, target, request.random_id)
    done = []
    for original, random_id in zip(found, request.random_id, strict=True):
        assert original is not None
        origin = None
        if not request.drop_author:
            in_channel = isinstance(source, Channel) and not source.megagroup
            origin = original.forwarded or (
                original.chat if in_channel else original.sender,
                original.id,
                original.date,
            )
        message, event = _deliver(
            call, target, original.text, random_id, entities=original.entities, forwarded=origin
        )
        done.append((message, event, random_id))
    return _answer(call, target, done)


def _check_schedule(date: datetime | None) -> None:
    """Refuse what must be sent later: the sandbox has no schedule queue.

    What is due within 10 s is sent at once (core.telegram.org/api/scheduled-messages).
    """
    if date is not None and date - datetime.now(UTC) >= _SENT_AT_ONCE:
        raise RpcError(400, "SCHEDULE_DATE_INVALID")


def _check(call: Call, peer: Peer, random_ids: list[int]) -> None:
    me = call.me
    if isinstance(peer, Channel):
        if me.id not in peer.members:
            raise RpcError(400, "CHANNEL_PRIVATE")
        if me.id not in peer.posters:
            raise RpcError(403, "CHAT_WRITE_FORBIDDEN")
    chat = peer.id if isinstance(peer, Account) else peer.marked
    if wait := call.telegram.floods.flood_wait(me.id, chat):
        raise RpcError(420, f"FLOOD_WAIT_{wait}")
    if any(random_id in me.sent for random_id in random_ids):
        raise RpcError(500, "RANDOM_ID_DUPLICATE")


def _deliver(
    call: Call, peer: Peer, text: str, random_id: int, **fields: Any
) -> tuple[Message, Event]:
    me, world, pushes = call.me, call.world, call.pushes
    if isinstance(peer, Channel):
        message, event = world.post(peer, me.id, text, random_id=random_id, **fields)
        pushes.channel_event(peer, event, message, skip=call.client)
        chat = peer.marked
    else:
        copies = world.deliver(peer, me, text, random_id=random_id, **fields)
        for account, copy, its_event in copies:
            skip = call.client if account is me else None
            pushes.account_event(account, its_event, copy, skip=skip)
        _, message, event = copies[0]
        chat = message.chat
    me.note_sent(random_id, chat, message.id)
    return message, event


def _answer(call: Call, peer: Peer, done: list[tuple[Message, Event, int]]) -> Any:
    channel = peer if isinstance(peer, Channel) else None
    box = channel.box if channel else call.me.box
    them: list[Any] = [types.UpdateMessageID(it.id, random_id) for it, _, random_id in done]
    them += [views.update(event, box, call.me.id, channel) for _, event, _ in done]
    users, chats = views.mentioned(call.world, [it for it, _, _ in done], call.me.id)
    return views.updates(them, users, chats, int(time.time()))
