"""Topics of forums: whether an account sees one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from telethon import errors
from telethon.tl import functions, types

from afx.telegram.errors import error_name, is_for_people

_NONE = frozenset({"CHANNEL_FORUM_MISSING", "TOPIC_ID_INVALID", "TOPICS_EMPTY"})


class TopicNotFoundError(Exception):
    """A chat has no such topic; the text is for the customer."""


async def topic_title(call: Callable[[Any], Awaitable[Any]], peer: Any, topic: int) -> str:
    """Return the title of a topic, by its id; a bot, which may not ask, gets the id.

    Raises TopicNotFoundError, and telethon's errors when Telegram refuses the chat.
    Source: core.telegram.org/method/messages.getForumTopicsByID.
    """
    try:
        page = await call(functions.messages.GetForumTopicsByIDRequest(peer, [topic]))
    except errors.RPCError as error:
        if is_for_people(error):
            return f"topic {topic}"
        if error_name(error) in _NONE:
            raise TopicNotFoundError(f"topic {topic} is not there: it is no forum") from error
        raise
    for it in page.topics:
        if isinstance(it, types.ForumTopic) and it.id == topic:
            return f"{it.title} (closed)" if it.closed else str(it.title)
    raise TopicNotFoundError(f"topic {topic} is not there, or was deleted")
