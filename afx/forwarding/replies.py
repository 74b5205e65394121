"""Which message of its chat a message answers."""

from __future__ import annotations

from typing import Any


def answered(raw: Any) -> int:
    """Return the id of the message that one of Telegram's messages answers; 0 for none.

    What is only in a topic of a forum names the topic's first message, and answers none; the
    message of another chat, or a story, has no copy (api/threads, constructor/messageReplyHeader).
    """
    header = getattr(raw, "reply_to", None)
    if header is None or getattr(header, "reply_to_peer_id", None) is not None:
        return 0
    if is_topic_only(header):
        return 0
    return int(getattr(header, "reply_to_msg_id", None) or 0)


def is_topic_only(header: Any) -> bool:
    """Return whether a reply header names only the topic that its message is in."""
    return bool(
        getattr(header, "forum_topic", False) and not getattr(header, "reply_to_top_id", None)
    )
