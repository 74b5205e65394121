"""Topics of forums, as rules name them: ``@forum/5``, or ``-1001234567890/5``.

A topic has the id of the message that made it; ``1`` is General, which each forum has
(core.telegram.org/api/forum). A copy lies in one chat, whichever topic it is in: lanes, links
and waits are those of the chat, and the topic is a part of the route.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from afx.errors import printable
from afx.forwarding.outputs import is_output_text

GENERAL = 1
"""The id of the topic that each forum has."""
_TOPIC = re.compile(r"(@[A-Za-z][A-Za-z0-9_]{3,31}|-100\d{1,16})/([1-9]\d{0,9})", re.ASCII)
_LINK = re.compile(r"(?:https?://)?t\.me/c/([1-9]\d{0,15})/([1-9]\d{0,9})", re.ASCII)
_MOST = 2**31
_CHANNELS = 10**12
"""What the marked id of a channel adds to its id, before it becomes negative."""


def topic_reference(text: str) -> str | None:
    """Return a topic as rules store it; None for what names no topic.

    Links such as ``t.me/c/1234567890/5`` are accepted.
    """
    if link := _LINK.fullmatch(text):
        text = f"{-(_CHANNELS + int(link[1]))}/{link[2]}"
    found = _TOPIC.fullmatch(text)
    return text if found and int(found[2]) < _MOST else None


def chat_of(text: str) -> str:
    """Return the chat that a source or a destination names, without its topic."""
    return text if is_output_text(text) else text.partition("/")[0]


def topic_of(text: str) -> int:
    """Return the topic that a source or a destination names; 0 for none."""
    found = _TOPIC.fullmatch(text)
    return int(found[2]) if found else 0


def shown_topic(text: str) -> str:
    """Return a source or a destination in words."""
    topic = topic_of(text)
    if not topic:
        return text
    name = "General" if topic == GENERAL else f"topic {topic}"
    return f"{name} of {chat_of(text)}"


def twice_named(destinations: Iterable[str], ids: Mapping[str, int] | None = None) -> str:
    """Return a forum in which a rule names several destinations; "" for none.

    A rule makes one copy of a message in a chat, so that edits, deletes and answers find it.
    ``ids`` are the marked ids of destinations, as far as they are known.
    """
    named: dict[str | int, str] = {}
    for it in dict.fromkeys(destinations):
        chat = (ids or {}).get(it, chat_of(it).casefold())
        if chat in named and (topic_of(it) or topic_of(named[chat])):
            return chat_of(it)
        named[chat] = it
    return ""


def wrong_destinations(destinations: Iterable[str]) -> str:
    """Return what is wrong with a rule's destinations; "" if nothing is."""
    if chat := twice_named(destinations):
        return (
            f"there are several destinations in {printable(chat)}; a rule makes one copy in a "
            "chat: make a rule for each topic"
        )
    return ""


def message_topic(raw: Any) -> int:
    """Return the topic that one of Telegram's messages lies in; General's for one without.

    Source: core.telegram.org/api/forum and constructor/messageReplyHeader.
    """
    header = getattr(raw, "reply_to", None)
    if not getattr(header, "forum_topic", False):
        return GENERAL
    top = getattr(header, "reply_to_top_id", None) or getattr(header, "reply_to_msg_id", None)
    return int(top or GENERAL)
