"""chat.join: makes the account a member of a public channel or supergroup."""

from __future__ import annotations

import contextlib

from afx.tasks.kinds.base import Arguments, Idempotence, Kind, TaskFailedError, TaskRun
from afx.tasks.kinds.chat_fields import ChatName, ChatResult


class JoinArguments(Arguments):
    """The chat to join."""

    chat: ChatName


async def run(task: TaskRun, arguments: JoinArguments) -> ChatResult:
    """Join; a chat of which the account is a member already counts as joined."""
    from telethon import errors
    from telethon.tl import functions, types

    from afx.telegram.chats import find_chat, title_of

    found = await find_chat(task.call, arguments.chat)
    if not isinstance(found.peer, types.InputPeerChannel):
        raise TaskFailedError(f"{arguments.chat} is no channel or supergroup.")
    channel = types.InputChannel(found.peer.channel_id, found.peer.access_hash)
    with contextlib.suppress(errors.UserAlreadyParticipantError):
        await task.call(functions.channels.JoinChannelRequest(channel))
    return ChatResult(chat=found.marked, title=title_of(found.entity))


KIND = Kind(
    name="chat.join",
    summary="Join a public channel or supergroup.",
    arguments=JoinArguments,
    result=ChatResult,
    run=run,
    idempotence=Idempotence.STATE,
)
