"""chat.resolve: the id and title of a chat that is named."""

from __future__ import annotations

from afx.tasks.kinds.base import Arguments, Idempotence, Kind, TaskRun
from afx.tasks.kinds.chat_fields import ChatName, ChatResult


class ResolveArguments(Arguments):
    """The chat to find."""

    chat: ChatName


async def run(task: TaskRun, arguments: ResolveArguments) -> ChatResult:
    """Look for the chat by name, or among the account's dialogs."""
    from afx.telegram.chats import find_chat, title_of

    found = await find_chat(task.call, arguments.chat)
    return ChatResult(chat=found.marked, title=title_of(found.entity))


KIND = Kind(
    name="chat.resolve",
    summary="Find a chat by @name or id, as the account sees it.",
    arguments=ResolveArguments,
    result=ChatResult,
    run=run,
    idempotence=Idempotence.READS,
)
