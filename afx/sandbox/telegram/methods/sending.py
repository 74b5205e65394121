"""Sending and forwarding messages."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from telethon.tl import functions, types

from afx.sandbox.errors import RpcError
from afx.sandbox.telegram import mentions, polls, views
from afx.sandbox.telegram.boxes import Event, Message
from afx.sandbox.telegram.methods import send_checks, threads
from afx.sandbox.telegram.methods.call import Call, method
from afx.sandbox.telegram.peers import Account, Channel, Peer, Sent

_MAX_TEXT = 4096


@method(functions.messages.SendMessageRequest, frozen=False)
def send_message(call: Call, request: Any) -> Any:
    """Send a text; the answer holds the sender's own updates.

    Source: core.telegram.org/method/messages.sendMessage.
    """
    send_checks.check_schedule(request.schedule_date)
    peer = call.peer(request.peer)
    if not request.message.strip():
        raise RpcError(400, "MESSAGE_EMPTY")
    if len(request.message) > _MAX_TEXT:
        raise RpcError(400, "MESSAGE_TOO_LONG")
    send_checks.check(call, peer, [request.random_id])
    if original := call.me.sent.get((send_checks.chat_of(peer), request.random_id)):
        return answer(call, peer, [(*original, request.random_id)])
    place = threads.place_of(call, peer, request.reply_to)
    message, event = deliver(
        call,
        peer,
        request.message,
        request.random_id,
        markup=markup_of(call, request.reply_markup),
        entities=entities_of(call, request.entities),
        silent=bool(request.silent),
        above=bool(request.invert_media),
        no_preview=bool(request.no_webpage),
        **place,
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
    return answer(call, peer, [(message, event, request.random_id)])


@method(functions.messages.ForwardMessagesRequest, frozen=False)
def forward_messages(call: Call, request: Any) -> Any:
    """Forward messages, with or without naming their author.

    Source: core.telegram.org/method/messages.forwardMessages.
    """
    send_checks.check_schedule(request.schedule_date)
    source = call.peer(request.from_peer)
    target = call.peer(request.to_peer)
    if isinstance(source, Channel):
        call.readable(source)
        if source.noforwards:
            raise RpcError(400, "CHAT_FORWARDS_RESTRICTED")
    box = source.box if isinstance(source, Channel) else call.me.box
    if not request.id:
        raise RpcError(400, "MESSAGE_IDS_EMPTY")
    if len(request.id) != len(request.random_id):
        raise RpcError(400, "RANDOM_ID_INVALID")
    found = [
        (box.messages[number], random_id)
        for number, random_id in zip(request.id, request.random_id, strict=True)
        if number in box.messages and box.messages[number].action is None
    ]
    if not found:
        raise RpcError(400, "MESSAGE_ID_INVALID")
    # What may not be forwarded is left out, unless nothing else is asked for.
    free = [it for it in found if not it[0].noforwards]
    if not free:
        raise RpcError(400, "CHAT_FORWARDS_RESTRICTED")
    send_checks.check(call, target, request.random_id)
    place: dict[str, Any] = {}
    if any((send_checks.chat_of(target), it) not in call.me.sent for _, it in free):
        place = threads.place_of(call, target, request.reply_to, request.top_msg_id)
        for original, _ in free:
            polls.check_place(original.media, target)
    done = []
    albums: dict[int, int] = {}
    for original, random_id in free:
        if first := call.me.sent.get((send_checks.chat_of(target), random_id)):
            done.append((*first, random_id))
            continue
        origin = None
        if not request.drop_author:
            in_channel = isinstance(source, Channel) and not source.megagroup
            origin = original.forwarded or (
                original.chat if in_channel else original.sender,
                original.id,
                original.date,
            )
        message, event = deliver(
            call,
            target,
            original.text,
            random_id,
            entities=original.entities,
            forwarded=origin,
            media=original.media,
            grouped=_new_album(original, albums),
            markup=None if request.drop_author else original.markup,
            copied_from=(original.chat, original.id),
            silent=bool(request.silent),
            above=original.above,
            no_preview=original.no_preview,
            **place,
        )
        done.append((message, event, random_id))
    return answer(call, target, done)


def _new_album(original: Message, albums: dict[int, int]) -> int | None:
    """Return the album of a copy: those of one album are together again."""
    if original.grouped is None:
        return None
    return albums.setdefault(original.grouped, secrets.randbits(62))


def entities_of(call: Call, entities: list[Any] | None) -> list[Any] | None:
    """Return entities as others see them: a mention names its user by id alone.

    Source: core.telegram.org/api/entities.
    """
    if not entities:
        return None
    return [
        types.MessageEntityMentionName(it.offset, it.length, views.marked(it.user_id, call.me.id))
        if isinstance(it, types.InputMessageEntityMentionName)
        else it
        for it in entities
    ]


def markup_of(call: Call, markup: Any) -> Any:
    """Return the buttons of a send, which only bots have; with links that Telegram takes.

    Source: core.telegram.org/api/bots/buttons. That a person's are refused is assumed.
    """
    if markup is None:
        return None
    if not call.me.is_bot or not isinstance(markup, types.ReplyInlineMarkup) or not markup.rows:
        raise RpcError(400, "REPLY_MARKUP_INVALID")
    for it in (it for row in markup.rows for it in row.buttons):
        if isinstance(it.type, types.InlineButtonTypeUrl) and "://" not in it.type.url:
            raise RpcError(400, "BUTTON_URL_INVALID")
    return markup


def reserve(call: Call, request: Any) -> Callable[[], None]:
    """Mark a send as running; returns what ends that.

    A repeat of it is refused meanwhile (api/updates, random_id).
    """
    tl_peer = getattr(request, "to_peer", None) or request.peer
    album = getattr(request, "multi_media", None)
    own = [it.random_id for it in album] if album else request.random_id
    ids = own if isinstance(own, list) else [own]
    sending = call.me.sending
    keys = {(views.marked(tl_peer, call.me.id), it) for it in ids} - sending
    sending |= keys

    def release() -> None:
        sending.difference_update(keys)

    return release


def deliver(
    call: Call, peer: Peer, text: str, random_id: int, **fields: Any
) -> tuple[Message, Event]:
    """Make a message, push it, and return it as the sender sees it."""
    me, world, pushes = call.me, call.world, call.pushes
    if isinstance(peer, Channel):
        message, event = world.post(peer, me.id, text, random_id=random_id, **fields)
        pushes.channel_event(peer, event, message, skip=call.client)
    else:
        copies = world.deliver(peer, me, text, random_id=random_id, **fields)
        for account, copy, its_event in copies:
            skip = call.client if account is me else None
            pushes.account_event(account, its_event, copy, skip=skip)
        _, message, event = copies[0]
    me.sent[message.chat, random_id] = Sent(message, event)
    return message, event


def answer(call: Call, peer: Peer, done: list[tuple[Message, Event, int]]) -> Any:
    """Return the sender's own updates: each message with the random_id that made it."""
    channel = peer if isinstance(peer, Channel) else None
    box = channel.box if channel else call.me.box
    them: list[Any] = [types.UpdateMessageID(it.id, random_id) for it, _, random_id in done]
    own = (views.update(event, box, call.me.id, channel) for _, event, _ in done)
    them += [it for it in own if it is not None]
    users, chats = mentions.mentioned(call.world, [it for it, _, _ in done], call.me.id)
    return views.updates(them, users, chats, int(time.time()))
