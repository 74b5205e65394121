"""Reads, makes and changes topics of forums.

Source: core.telegram.org/api/forum and the pages of the methods.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from telethon import errors
from telethon.tl import functions, types

from afx.forwarding.topics import GENERAL
from afx.telegram.client import AccountClient
from afx.telegram.errors import error_name, is_about_request
from afx.telegram.sender import copy_ids

_DONE = frozenset({"TOPIC_NOT_MODIFIED", "CHAT_NOT_MODIFIED"})
_NO_FORUM = frozenset({"CHANNEL_FORUM_MISSING", "TOPICS_EMPTY", "TOPIC_ID_INVALID"})


async def topics_of(client: AccountClient, peer: Any, ids: Sequence[int]) -> dict[int, Any]:
    """Return those of some topics that exist, by id; up to 100 are asked for.

    Raises telethon's errors, and ConnectionError.
    """
    try:
        page = await _ask(client, functions.messages.GetForumTopicsByIDRequest(peer, list(ids)))
    except errors.RPCError as error:
        if error_name(error) in _NO_FORUM:
            return {}
        raise
    return {it.id: it for it in page.topics if isinstance(it, types.ForumTopic)}


async def make_topic(client: AccountClient, peer: Any, topic: Any, random_id: int) -> int:
    """Make a topic as another one is; returns its id. The same ``random_id`` makes one only.

    An icon that the account may not use is left out. Raises telethon's errors, and
    ConnectionError.
    """
    request = functions.messages.CreateForumTopicRequest(
        peer,
        topic.title,
        icon_color=topic.icon_color,
        icon_emoji_id=topic.icon_emoji_id,
        random_id=random_id,
    )
    try:
        answer = await _ask(client, request)
    except errors.RPCError as error:
        if not topic.icon_emoji_id or not is_about_request(error):
            raise
        request.icon_emoji_id = None
        answer = await _ask(client, request)
    return copy_ids(answer).get(random_id, 0)


async def change_topic(client: AccountClient, peer: Any, number: int, topic: Any) -> None:
    """Let a topic be called, and be open or closed, as another one is.

    Raises telethon's errors, and ConnectionError.
    """
    icon = None if number == GENERAL else topic.icon_emoji_id or 0
    named = functions.messages.EditForumTopicRequest(
        peer, number, title=topic.title, icon_emoji_id=icon
    )
    try:
        await _change(client, named)
    except errors.RPCError as error:
        if not icon or not is_about_request(error):
            raise
        named.icon_emoji_id = None
        await _change(client, named)
    closed = functions.messages.EditForumTopicRequest(peer, number, closed=bool(topic.closed))
    await _change(client, closed)


async def _change(client: AccountClient, request: Any) -> None:
    try:
        await _ask(client, request)
    except errors.RPCError as error:
        if error_name(error) not in _DONE:
            raise


async def _ask(client: AccountClient, request: Any) -> Any:
    [answer] = await client.run_in_order([request], ordered=False)
    if isinstance(answer, errors.RPCError):
        raise answer
    return answer
