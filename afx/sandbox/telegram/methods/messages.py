"""Reading, editing and deleting messages."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from telethon.tl import functions, types

from afx.sandbox.errors import RpcError
from afx.sandbox.telegram import mentions, views
from afx.sandbox.telegram.boxes import Box, Content, Media, Message
from afx.sandbox.telegram.changes import Place
from afx.sandbox.telegram.methods.call import Call, method
from afx.sandbox.telegram.methods.config import EDIT_SECONDS
from afx.sandbox.telegram.methods.input_media import media_of
from afx.sandbox.telegram.methods.live import moved
from afx.sandbox.telegram.methods.sending import entities_of, markup_of
from afx.sandbox.telegram.peers import Channel, Group, Peer
from afx.sandbox.telegram.polls import Poll

_MOST_IDS = 200


@method(functions.messages.GetHistoryRequest, bots=False)
def get_history(call: Call, request: Any) -> Any:
    """A chat's messages, newest first, within the asked window.

    Of a channel no more than its box holds, if that rule is on (api/updates, "Recovering
    gaps for very old messages").
    """
    peer = call.peer(request.peer)
    stored = _messages_of(call, peer)
    if isinstance(peer, Channel) and call.telegram.strictness.history_bounded:
        stored = stored[-peer.box.log_limit :]
    total = len(stored)
    # Newest first; offset_id is where to begin, add_offset moves that point:
    # a negative one towards newer messages (core.telegram.org/api/offsets).
    newest_first = [it for it in reversed(stored) if not request.max_id or it.id < request.max_id]
    begin = request.add_offset
    if request.offset_id:
        begin += sum(it.id >= request.offset_id for it in newest_first)
    end = begin + max(0, min(request.limit, 100))
    found = [it for it in newest_first[max(0, begin) : max(0, end)] if it.id > request.min_id]
    return _page(call, peer, found, total)


@method(functions.messages.SearchRequest, bots=False)
def search(call: Call, request: Any) -> Any:
    """A chat's messages with a text in them, newest first; filters are not applied."""
    peer = call.peer(request.peer)
    wanted = request.q.lower()
    found = [it for it in reversed(_messages_of(call, peer)) if wanted in it.text.lower()]
    total = len(found)
    if request.offset_id:
        found = [it for it in found if it.id < request.offset_id]
    first = max(0, request.add_offset)
    return _page(call, peer, found[first : first + min(request.limit, 100)], total)


@method(functions.channels.GetMessagesRequest)
def get_channel_messages(call: Call, request: Any) -> Any:
    """A channel's messages by id; messageEmpty for one that is not there."""
    channel = call.channel(request.channel)
    call.readable(channel)
    return _by_ids(call, channel, channel.box, request.id)


@method(functions.messages.GetMessagesRequest)
def get_messages(call: Call, request: Any) -> Any:
    """Messages of the account's own box by id; messageEmpty for one that is not there."""
    return _by_ids(call, call.me, call.me.box, request.id)


@method(functions.messages.EditMessageRequest, frozen=False)
def edit_message(call: Call, request: Any) -> Any:
    """Change the text or the media of an own message; or close its poll (api/poll).

    Source: core.telegram.org/method/messages.editMessage.
    """
    peer = call.peer(request.peer)
    box = _box(call, peer)
    message = box.messages.get(request.id)
    if message is None or message.action is not None:
        raise RpcError(400, "MESSAGE_ID_INVALID")
    if message.sender != call.me.id:
        raise RpcError(403, "MESSAGE_AUTHOR_REQUIRED")
    if time.time() - message.date > EDIT_SECONDS:
        raise RpcError(400, "MESSAGE_EDIT_TIME_EXPIRED")
    text = request.message if request.message is not None else message.text
    entities = entities_of(call, request.entities) or []
    media, closed = _new_media(call, message, request.media)
    markup = markup_of(call, request.reply_markup)
    same_buttons = bytes(markup or b"") == bytes(message.markup or b"")
    same_text = (
        same_buttons
        and text == message.text
        and [*map(bytes, entities)] == [*map(bytes, message.entities)]
    )
    if same_text and not closed and media is None:
        raise RpcError(400, "MESSAGE_NOT_MODIFIED")
    content = Content(text, entities, media or message.media)
    message.above, message.no_preview = bool(request.invert_media), bool(request.no_webpage)
    message.markup = markup
    event = _place(call, peer).edit(message, content)
    channel = peer if isinstance(peer, Channel) else None
    users, chats = mentions.mentioned(call.world, [message], call.me.id)
    update = views.update(event, box, call.me.id, channel)
    return views.updates([update], users, chats, int(time.time()))


def _new_media(call: Call, message: Message, wanted: Any) -> tuple[Media | None, bool]:
    """Return the media that an edit brings, if any, and whether it closes the poll."""
    if wanted is None:
        return None, False
    if isinstance(message.media, Poll):
        if not isinstance(wanted, types.InputMediaPoll) or not wanted.poll.closed:
            raise RpcError(400, "MESSAGE_NOT_MODIFIED")
        was_closed, message.media.closed = message.media.closed, True
        return None, not was_closed
    if isinstance(wanted, types.InputMediaGeoLive):
        return moved(message, wanted), False
    media = media_of(call, wanted)
    same = message.media is not None and media.key == message.media.key
    return (None if same else media), False


@method(functions.channels.DeleteMessagesRequest)
def delete_channel_messages(call: Call, request: Any) -> Any:
    """Remove messages from a channel."""
    channel = call.channel(request.channel)
    own = {it for it in request.id if _sender(channel.box, it) == call.me.id}
    allowed = request.id if call.me.id == channel.creator else own
    event = _place(call, channel).delete(allowed)
    return types.messages.AffectedMessages(channel.box.pts, event.count if event else 0)


@method(functions.messages.DeleteMessagesRequest)
def delete_messages(call: Call, request: Any) -> Any:
    """Remove messages from the account's own box; with ``revoke`` from every participant's.

    Source: core.telegram.org/method/messages.deleteMessages.
    """
    event = _place(call, call.me).delete(request.id, revoke=bool(request.revoke))
    return types.messages.AffectedMessages(call.me.box.pts, event.count if event else 0)


def _by_ids(call: Call, peer: Peer, box: Box, wanted: list[Any]) -> Any:
    """Return messages by id: the asked range comes whole (api/updates)."""
    ids = [getattr(it, "id", 0) for it in wanted]
    if len(ids) > _MOST_IDS:
        raise RpcError(400, "LIMIT_INVALID")
    page = _page(call, peer, [box.messages[it] for it in ids if it in box.messages], len(ids))
    there = {it.id: it for it in page.messages}
    page.messages = [there.get(it) or types.MessageEmpty(it, None) for it in ids]
    return page


def _place(call: Call, peer: Peer) -> Place:
    owner = peer if isinstance(peer, Channel) else call.me
    return Place(call.world, call.pushes, owner, call.me.id, call.client)


def _box(call: Call, peer: Peer) -> Box:
    return peer.box if isinstance(peer, Channel) else call.me.box


def _sender(box: Box, number: int) -> int:
    message = box.messages.get(number)
    return message.sender if message else 0


def _messages_of(call: Call, peer: Peer) -> list[Message]:
    if isinstance(peer, Channel):
        call.readable(peer)
        return list(peer.box.messages.values())
    chat = peer.marked if isinstance(peer, Group) else peer.id
    return [it for it in call.me.box.messages.values() if it.chat == chat]


def _page(call: Call, peer: Peer, found: Iterable[Message], total: int) -> Any:
    found = list(found)
    channel = peer if isinstance(peer, Channel) else None
    users, chats = mentions.mentioned(call.world, found, call.me.id)
    seen = [views.message(it, channel, out=it.sender == call.me.id) for it in found]
    if channel:
        if not chats:
            chats = [views.chat(channel, call.me.id)]
        return types.messages.ChannelMessages(channel.box.pts, total, seen, [], chats, users)
    return types.messages.MessagesSlice(total, seen, [], chats, users)
