"""Voting in polls, and their results.

Source: core.telegram.org/api/poll and the page of each method.
"""

from __future__ import annotations

import time
from typing import Any

from telethon.tl import functions, types

from afx.sandbox.errors import RpcError
from afx.sandbox.telegram import views
from afx.sandbox.telegram.boxes import Message
from afx.sandbox.telegram.methods.call import Call, method
from afx.sandbox.telegram.peers import Channel, Group, Peer
from afx.sandbox.telegram.polls import Poll


@method(functions.messages.SendVoteRequest)
def send_vote(call: Call, request: Any) -> Any:
    """Vote in a poll; the others in the chat are told the new figures.

    Source: core.telegram.org/method/messages.sendVote.
    """
    peer = call.peer(request.peer)
    poll = _poll(call, peer, request.msg_id)
    poll.vote(call.me.id, frozenset(request.options))
    for number in _participants(peer) - {call.me.id}:
        account = call.world.accounts[number]
        call.pushes.update(account, types.UpdateMessagePoll(poll.id, poll.results()))
    return _results(call, poll)


@method(functions.messages.GetPollResultsRequest)
def get_poll_results(call: Call, request: Any) -> Any:
    """The figures of a poll, with the account's own choice.

    Source: core.telegram.org/method/messages.getPollResults.
    """
    return _results(call, _poll(call, call.peer(request.peer), request.msg_id))


def _poll(call: Call, peer: Peer, number: int) -> Poll:
    if isinstance(peer, Channel):
        call.readable(peer)
    box = peer.box if isinstance(peer, Channel) else call.me.box
    message: Message | None = box.messages.get(number)
    if message is None or not isinstance(message.media, Poll):
        raise RpcError(400, "MESSAGE_ID_INVALID")
    return message.media


def _participants(peer: Peer) -> set[int]:
    return peer.members if isinstance(peer, Channel | Group) else {peer.id}


def _results(call: Call, poll: Poll) -> Any:
    update = types.UpdateMessagePoll(poll.id, poll.results(call.me.id), poll=poll.poll())
    return views.updates([update], [], [], int(time.time()))
