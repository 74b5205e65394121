"""message.broadcast: one text to many chats, one after another, at a pace."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from afx.tasks.kinds.base import Arguments, Idempotence, Kind, Result, TaskRun
from afx.tasks.kinds.chat_fields import ChatName


class BroadcastArguments(Arguments):
    """What to say, where, and how fast."""

    chats: Annotated[list[ChatName], Field(min_length=1, max_length=1000)]
    text: Annotated[str, StringConstraints(min_length=1, max_length=4096)]
    pause_seconds: float = Field(1.0, ge=0, le=3600)
    """Between two chats."""


class BroadcastResult(Result):
    """The ledger: what became of each chat."""

    sent: int
    refused: dict[str, str]
    """Chat → why Telegram refused the message there."""


async def run(task: TaskRun, arguments: BroadcastArguments) -> BroadcastResult:
    """Send to each chat, from the cursor on.

    A message that was sent before a crash, and not noted, is sent again under the same
    random_id: Telegram takes it for the same one.
    """
    from telethon import errors
    from telethon.tl import functions

    from afx.telegram.chats import ChatNotFoundError, find_chat
    from afx.telegram.errors import error_name, is_lost_login

    begin = _whole(task.cursor.get("next"))
    sent = _whole(task.cursor.get("sent"))
    noted = task.cursor.get("refused")
    refused = {str(it): str(why) for it, why in noted.items()} if isinstance(noted, dict) else {}
    count = len(arguments.chats)
    for index in range(begin, count):
        chat = arguments.chats[index]
        try:
            found = await find_chat(task.call, chat)
            await task.call(
                functions.messages.SendMessageRequest(
                    found.peer, arguments.text, random_id=task.random_id(f"{index}:{chat}")
                )
            )
            sent += 1
        except ChatNotFoundError as error:
            refused[chat] = str(error)[:100]
        except errors.RandomIdDuplicateError:
            sent += 1  # the first send of it is still under way
        except (errors.BadRequestError, errors.ForbiddenError) as error:
            if is_lost_login(error):
                raise
            refused[chat] = error_name(error)
        if chat in refused:
            task.log(f"chat {index + 1} of {count}: {refused[chat]}")
        cursor = {"next": index + 1, "sent": sent, "refused": refused}
        await task.save((index + 1) / count, cursor)
        if index + 1 < count:
            await task.sleep(arguments.pause_seconds)
    return BroadcastResult(sent=sent, refused=refused)


def _whole(value: object) -> int:
    return value if type(value) is int and value >= 0 else 0


KIND = Kind(
    name="message.broadcast",
    summary="Send one text to many chats, at a pace.",
    arguments=BroadcastArguments,
    result=BroadcastResult,
    run=run,
    idempotence=Idempotence.KEYED,
    priority="low",
    max_attempts=5,
    timeout_seconds=86_400,
    is_sealed=True,
)
