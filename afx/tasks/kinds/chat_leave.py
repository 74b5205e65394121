"""chat.leave: ends the account's membership of a channel or supergroup."""

from __future__ import annotations

import contextlib

from afx.tasks.kinds.base import Arguments, Idempotence, Kind, TaskFailedError, TaskRun
from afx.tasks.kinds.chat_fields import ChatName, ChatResult


class LeaveArguments(Arguments):
    """The chat to leave."""

    chat: ChatName


async def run(task: TaskRun, arguments: LeaveArguments) -> ChatResult:
    """Leave; a chat of which the account is no member counts as left."""
    from telethon import errors
    from telethon.tl import functions, types

    from afx.telegram.chats import find_chat, title_of

    found = await find_chat(task.call, arguments.chat)
    if not isinstance(found.peer, types.InputPeerChannel):
        raise TaskFailedError(f"{arguments.chat} is no channel or supergroup.")
    channel = types.InputChannel(found.peer.channel_id, found.peer.access_hash)
    with contextlib.suppress(errors.UserNotParticipantError):
        await task.call(functions.channels.LeaveChannelRequest(channel))
    return ChatResult(chat=found.marked, title=title_of(found.entity))


KIND = Kind(
    name="chat.leave",
    summary="Leave a channel or supergroup.",
    arguments=LeaveArguments,
    result=ChatResult,
    run=run,
    idempotence=Idempotence.STATE,
)
