"""Where a message goes within its chat: what it answers, and the topic of a forum.

Source: core.telegram.org/api/forum and /api/threads.
"""

from __future__ import annotations

from typing import Any

from afx.sandbox.errors import RpcError
from afx.sandbox.telegram.methods.call import Call
from afx.sandbox.telegram.peers import GENERAL, Account, Channel, Peer


def place_of(call: Call, peer: Peer, reply_to: Any, topic_id: int | None = None) -> dict[str, Any]:
    """Return the fields ``reply_to`` and ``topic`` of a message that is to be sent.

    A message that was deleted is not answered, and the send goes on; the topic that the
    client names counts then. ``topic_id`` is the top_msg_id of a forward.
    Raises RpcError for a message that has never been there, and for a topic that is
    closed, deleted or unknown (core.telegram.org/method/messages.sendMessage).
    """
    number: int = getattr(reply_to, "reply_to_msg_id", None) or 0
    named: int = getattr(reply_to, "top_msg_id", None) or topic_id or 0
    topics = peer.topics if isinstance(peer, Channel) else None
    if number and topics and number != GENERAL and number in (*topics, *_deleted(peer)):
        number, named = 0, number  # a topic is the thread of the message that made it
    box = peer.box if isinstance(peer, Channel) else call.me.box
    if not 0 <= number < box.next_id:
        raise RpcError(400, "REPLY_MESSAGE_ID_INVALID")
    answered = box.messages.get(number)
    if answered and answered.chat != (peer.id if isinstance(peer, Account) else peer.marked):
        raise RpcError(400, "REPLY_MESSAGE_ID_INVALID")
    topic = 0
    if topics is not None:
        assert isinstance(peer, Channel)
        topic = _topic(call, peer, answered.topic if answered else named)
    return {"reply_to": answered.id if answered else None, "topic": topic}


def _topic(call: Call, forum: Channel, number: int) -> int:
    """Return the topic of a message, 0 for General; refuse one that takes no messages."""
    assert forum.topics is not None
    if number in forum.deleted_topics:
        raise RpcError(406, "TOPIC_DELETED")
    topic = forum.topics.get(number or GENERAL)
    if topic is None:
        raise RpcError(400, "TOPIC_ID_INVALID")
    if topic.closed and call.me.id != forum.creator:
        raise RpcError(406, "TOPIC_CLOSED")
    return 0 if topic.id == GENERAL else topic.id


def _deleted(peer: Peer) -> set[int]:
    return peer.deleted_topics if isinstance(peer, Channel) else set()
