"""chat.join: makes the account a member of a public chat, or of one behind an invite link."""

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

    from afx.forwarding.chat_names import is_invite
    from afx.telegram.chats import find_chat, title_of

    if is_invite(arguments.chat):
        return await _join_by_link(task, arguments.chat)
    found = await find_chat(task.call, arguments.chat)
    if not isinstance(found.peer, types.InputPeerChannel):
        raise TaskFailedError(f"{arguments.chat} is no channel or supergroup.")
    channel = types.InputChannel(found.peer.channel_id, found.peer.access_hash)
    with contextlib.suppress(errors.UserAlreadyParticipantError):
        await task.call(functions.channels.JoinChannelRequest(channel))
    return ChatResult(chat=found.marked, title=title_of(found.entity))


async def _join_by_link(task: TaskRun, link: str) -> ChatResult:
    from telethon import errors
    from telethon.tl import functions

    from afx.telegram.chats import find_chat, found_chat, title_of
    from afx.telegram.invites import CHECKED, REQUESTED, joined_chats

    try:
        answer = await task.call(functions.messages.ImportChatInviteRequest(link[1:]))
    except errors.UserAlreadyParticipantError:
        found = await find_chat(task.call, link)
    except errors.InviteRequestSentError as error:
        raise TaskFailedError(f"{link}: {REQUESTED}.") from error
    else:
        chats = joined_chats(answer)
        if not chats:
            raise TaskFailedError(f"{link}: {CHECKED}.")
        found = found_chat(chats[0])
    return ChatResult(chat=found.marked, title=title_of(found.entity))


KIND = Kind(
    name="chat.join",
    summary="Join a public channel or supergroup, or what an invite link leads to.",
    arguments=JoinArguments,
    result=ChatResult,
    run=run,
    idempotence=Idempotence.STATE,
)
