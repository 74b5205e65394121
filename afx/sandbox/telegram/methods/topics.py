"""Forums and their topics.

Source: core.telegram.org/api/forum and the page of each method.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from telethon.tl import functions, types

from afx.sandbox.errors import RpcError
from afx.sandbox.telegram import mentions, views
from afx.sandbox.telegram.boxes import Message
from afx.sandbox.telegram.changes import Place
from afx.sandbox.telegram.methods import send_checks, sending
from afx.sandbox.telegram.methods.call import Call, method
from afx.sandbox.telegram.peers import BLUE, GENERAL, Channel, Topic

_MOST_TITLE_BYTES = 128
_COLORS = {BLUE, 0xFFD67E, 0xCB86DB, 0x8EEE98, 0xFF93B2, 0xFB6F5F}
_MOST_TOPICS = 100


@method(functions.channels.ToggleForumRequest)
def toggle_forum(call: Call, request: Any) -> Any:
    """Make a supergroup a forum, or a forum a supergroup; its owner may.

    Source: core.telegram.org/method/channels.toggleForum.
    """
    channel = call.channel(request.channel)
    _check_owner(call, channel)
    if not channel.megagroup:
        raise RpcError(400, "CHANNEL_INVALID")
    if request.enabled == (channel.topics is not None):
        raise RpcError(400, "CHAT_NOT_MODIFIED")
    channel.set_forum(request.enabled)
    for member in channel.members - {call.me.id}:
        account = call.world.accounts[member]
        call.pushes.update(account, types.UpdateChannel(channel.id), channel)
    update = types.UpdateChannel(channel.id)
    return views.updates([update], [], [views.chat(channel, call.me.id)], int(time.time()))


@method(functions.messages.CreateForumTopicRequest)
def create_topic(call: Call, request: Any) -> Any:
    """A new topic: the service message that makes it gives it its id.

    Source: core.telegram.org/method/messages.createForumTopic.
    """
    forum = _forum(call, request.peer)
    _check_owner(call, forum)
    title = _title(request.title)
    color = request.icon_color or BLUE
    if color not in _COLORS:
        raise RpcError(400, "TOPIC_ICON_COLOR_INVALID")
    send_checks.check(call, forum, [request.random_id])
    made = call.me.sent.get((forum.marked, request.random_id))
    if made is None:
        action = types.MessageActionTopicCreate(title, color, icon_emoji_id=request.icon_emoji_id)
        message, _ = sending.deliver(call, forum, "", request.random_id, action=action)
        made = call.me.sent[forum.marked, request.random_id]
        _topics(forum)[message.id] = Topic(
            message.id, title, call.me.id, message.date, color, request.icon_emoji_id or 0
        )
    return sending.answer(call, forum, [(*made, request.random_id)])


@method(functions.messages.EditForumTopicRequest)
def edit_topic(call: Call, request: Any) -> Any:
    """Rename, close, open or hide a topic; a service message in it says so.

    Source: core.telegram.org/method/messages.editForumTopic.
    """
    forum = _forum(call, request.peer)
    topic = _topics(forum).get(request.topic_id)
    if topic is None or (request.hidden is not None and topic.id != GENERAL):
        raise RpcError(400, "TOPIC_ID_INVALID")
    _check_owner(call, forum)
    others = (request.title, request.icon_emoji_id, request.hidden)
    if request.closed is not None and any(it is not None for it in others):
        raise RpcError(400, "TOPIC_CLOSE_SEPARATELY")
    wanted = {
        "title": None if request.title is None else _title(request.title),
        "icon_emoji_id": request.icon_emoji_id,
        "closed": request.closed,
        "hidden": request.hidden,
    }
    changed = {
        name: value
        for name, value in wanted.items()
        if value is not None and value != getattr(topic, name)
    }
    if not changed:
        raise RpcError(400, "TOPIC_NOT_MODIFIED")
    for name, value in changed.items():
        setattr(topic, name, value)
    action = types.MessageActionTopicEdit(**changed)
    place = 0 if topic.id == GENERAL else topic.id
    message, event = call.world.post(forum, call.me.id, "", action=action, topic=place)
    call.pushes.channel_event(forum, event, message, skip=call.client)
    update = views.update(event, forum.box, call.me.id, forum)
    users, chats = mentions.mentioned(call.world, [message], call.me.id)
    return views.updates([update], users, chats, message.date)


@method(functions.messages.DeleteTopicHistoryRequest)
def delete_topic(call: Call, request: Any) -> Any:
    """Remove a topic and all its messages; General cannot be removed.

    Source: core.telegram.org/method/messages.deleteTopicHistory.
    """
    forum = _forum(call, request.peer)
    number = request.top_msg_id
    if number == GENERAL or number not in _topics(forum):
        raise RpcError(400, "TOPIC_ID_INVALID")
    _check_owner(call, forum)
    del _topics(forum)[number]
    forum.deleted_topics.add(number)
    ids = [it.id for it in forum.box.messages.values() if number in (it.id, it.topic)]
    event = Place(call.world, call.pushes, forum, call.me.id, call.client).delete(ids)
    return types.messages.AffectedHistory(forum.box.pts, event.count if event else 0, 0)


@method(functions.messages.GetForumTopicsRequest)
def get_topics(call: Call, request: Any) -> Any:
    """Topics whose title holds ``q``, those with the newest messages first.

    A page begins after ``offset_topic``.
    Source: core.telegram.org/method/messages.getForumTopics.
    """
    forum = _forum(call, request.peer)
    tops = _newest(forum)
    wanted = (request.q or "").lower()
    found = [it for it in _topics(forum).values() if wanted in it.title.lower()]
    found.sort(key=lambda it: _top(tops, it), reverse=True)
    total = len(found)
    known = [it.id for it in found]
    if request.offset_topic in known:
        found = found[known.index(request.offset_topic) + 1 :]
    found = found[: max(0, min(request.limit, _MOST_TOPICS))]
    return _page(call, forum, tops, [_view(forum, tops, it, call.me.id) for it in found], total)


@method(functions.messages.GetForumTopicsByIDRequest)
def get_topics_by_id(call: Call, request: Any) -> Any:
    """Topics by id; forumTopicDeleted for one that is not there.

    Source: core.telegram.org/method/messages.getForumTopicsByID.
    """
    forum = _forum(call, request.peer)
    tops = _newest(forum)
    topics = _topics(forum)
    found = [
        _view(forum, tops, topics[it], call.me.id) if it in topics else types.ForumTopicDeleted(it)
        for it in request.topics
    ]
    return _page(call, forum, tops, found, len(found))


def _forum(call: Call, tl_peer: Any) -> Channel:
    """Return the forum that an input peer names."""
    forum = call.peer(tl_peer)
    if not isinstance(forum, Channel):
        raise RpcError(400, "PEER_ID_INVALID")
    call.readable(forum)
    if forum.topics is None:
        raise RpcError(400, "CHANNEL_FORUM_MISSING")
    return forum


def _topics(forum: Channel) -> dict[int, Topic]:
    assert forum.topics is not None
    return forum.topics


def _check_owner(call: Call, channel: Channel) -> None:
    """Refuse all but the creator: the sandbox knows no other right to manage topics."""
    if call.me.id != channel.creator:
        raise RpcError(400, "CHAT_ADMIN_REQUIRED")


def _title(text: str) -> str:
    if not text.strip():
        raise RpcError(400, "TOPIC_TITLE_EMPTY")
    return text.encode()[:_MOST_TITLE_BYTES].decode(errors="ignore")


def _newest(forum: Channel) -> dict[int, Message]:
    """Return each topic's newest message, by the topic's id."""
    found: dict[int, Message] = {}
    for it in forum.box.messages.values():
        of_creation = it.id in _topics(forum) and it.id != GENERAL
        found[it.id if of_creation else it.topic or GENERAL] = it
    return found


def _top(tops: dict[int, Message], topic: Topic) -> int:
    return tops[topic.id].id if topic.id in tops else 0


def _view(forum: Channel, tops: dict[int, Message], topic: Topic, viewer: int) -> Any:
    return types.ForumTopic(
        topic.id,
        datetime.fromtimestamp(topic.date, UTC),
        views.peer(forum.marked),
        topic.title,
        topic.icon_color,
        _top(tops, topic),
        0,
        0,
        0,
        0,
        0,
        0,
        views.peer(topic.creator or forum.marked),
        types.PeerNotifySettings(),
        my=topic.creator == viewer,
        closed=topic.closed,
        hidden=topic.hidden,
        icon_emoji_id=topic.icon_emoji_id or None,
    )


def _page(
    call: Call, forum: Channel, tops: dict[int, Message], topics: Iterable[Any], total: int
) -> Any:
    topics = list(topics)
    newest = [tops[it.id] for it in topics if it.id in tops]
    users, chats = mentions.mentioned(call.world, newest, call.me.id)
    if not chats:
        chats = [views.chat(forum, call.me.id)]
    messages = [views.message(it, forum, out=it.sender == call.me.id) for it in newest]
    return types.messages.ForumTopics(total, topics, messages, chats, users, forum.box.pts)
