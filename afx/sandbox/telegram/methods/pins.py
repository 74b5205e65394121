"""Pinning messages.

Source: core.telegram.org/api/pin and the page of each method.
"""

from __future__ import annotations

import time
from typing import Any

from telethon.tl import functions, types

from afx.sandbox.errors import RpcError
from afx.sandbox.telegram import mentions, views
from afx.sandbox.telegram.boxes import Box, Event, Message
from afx.sandbox.telegram.methods.call import Call, method
from afx.sandbox.telegram.peers import Account, Channel, Group, Peer


@method(functions.messages.UpdatePinnedMessageRequest)
def update_pinned(call: Call, request: Any) -> Any:
    """Pin or unpin one message; a pin is told by a service message that answers it.

    Source: core.telegram.org/method/messages.updatePinnedMessage.
    """
    peer = call.peer(request.peer)
    _check_right(call, peer)
    box = peer.box if isinstance(peer, Channel) else call.me.box
    message = box.messages.get(request.id)
    if message is None or message.action is not None:
        raise RpcError(400, "MESSAGE_ID_INVALID")
    pinned = not request.unpin
    if message.pinned == pinned:
        raise RpcError(400, "CHAT_NOT_MODIFIED")
    events = [_pin(call, peer, [message], pinned, one_sided=bool(request.pm_oneside))]
    named = [message]
    if pinned and not request.pm_oneside:
        service, event = _tell(call, peer, message)
        events.append(event)
        named.append(service)
    channel = peer if isinstance(peer, Channel) else None
    them = [views.update(it, box, call.me.id, channel) for it in events]
    users, chats = mentions.mentioned(call.world, named, call.me.id)
    return views.updates(them, users, chats, int(time.time()))


@method(functions.messages.UnpinAllMessagesRequest)
def unpin_all(call: Call, request: Any) -> Any:
    """Unpin all messages of a chat, or of one topic.

    Source: core.telegram.org/method/messages.unpinAllMessages.
    """
    peer = call.peer(request.peer)
    _check_right(call, peer)
    if isinstance(peer, Channel):
        box, chat = peer.box, peer.marked
    else:
        box, chat = call.me.box, peer.marked if isinstance(peer, Group) else peer.id
    found = [
        it
        for it in box.messages.values()
        if it.pinned and it.chat == chat and request.top_msg_id in (None, it.topic)
    ]
    count = _pin(call, peer, found, False).count if found else 0
    return types.messages.AffectedHistory(box.pts, count, 0)


def _check_right(call: Call, peer: Peer) -> None:
    """Refuse who may not pin: in a broadcast channel all but its posters, in a supergroup
    all but its creator (assumed: Telegram has a right for it)."""
    if not isinstance(peer, Channel):
        return
    call.readable(peer)
    allowed = {peer.creator} if peer.megagroup else peer.posters
    if call.me.id not in allowed:
        raise RpcError(400, "CHAT_ADMIN_REQUIRED")


def _pin(
    call: Call, peer: Peer, messages: list[Message], pinned: bool, *, one_sided: bool = False
) -> Event:
    """Pin or unpin messages in every participant's box; returns the account's own event."""
    if isinstance(peer, Channel):
        event = _record(peer.box, messages, pinned)
        call.pushes.channel_event(peer, event, None, skip=call.client)
        return event
    others: dict[Account, list[Message]] = {}
    for number, twin in (twin for it in messages for twin in it.twins if not one_sided):
        account = call.world.accounts[number]
        copy = account.box.messages.get(twin)
        if account is not call.me and copy and copy.pinned != pinned:
            others.setdefault(account, []).append(copy)
    for account, copies in others.items():
        call.pushes.account_event(account, _record(account.box, copies, pinned), None)
    event = _record(call.me.box, messages, pinned)
    call.pushes.account_event(call.me, event, None, skip=call.client)
    return event


def _record(box: Box, messages: list[Message], pinned: bool) -> Event:
    for it in messages:
        it.pinned = pinned
    return box.record("pin" if pinned else "unpin", tuple(it.id for it in messages))


def _tell(call: Call, peer: Peer, pinned: Message) -> tuple[Message, Event]:
    """Post the service message of a pin; returns it as the account sees it."""
    action = types.MessageActionPinMessage()
    fields = {"action": action, "reply_to": pinned.id, "topic": pinned.topic}
    if isinstance(peer, Channel):
        message, event = call.world.post(peer, call.me.id, "", **fields)
        call.pushes.channel_event(peer, event, message, skip=call.client)
        return message, event
    copies = call.world.deliver(peer, call.me, "", **fields)
    for account, copy, its_event in copies:
        skip = call.client if account is call.me else None
        call.pushes.account_event(account, its_event, copy, skip=skip)
    return copies[0][1:]
