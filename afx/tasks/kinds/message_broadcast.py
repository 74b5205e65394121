"""message.broadcast: one text to many chats, one after another, at a pace."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field, StringConstraints

from afx.tasks.kinds.base import Arguments, Idempotence, Kind, Result, TaskRun
from afx.tasks.kinds.chat_fields import ChatName

_NOT_FOUND, _STRANGER = "CHAT_NOT_FOUND", "STRANGER"
_MOST_LISTED = 20_000
"""Bytes of the chats that a result names."""


class BroadcastArguments(Arguments):
    """What to say, where, and how fast."""

    later: ClassVar = frozenset({"to_strangers"})

    chats: Annotated[list[ChatName], Field(min_length=1, max_length=1000)]
    text: Annotated[str, StringConstraints(min_length=1, max_length=4096)]
    pause_seconds: float = Field(1.0, ge=0, le=3600)
    """Between two chats."""
    to_strangers: bool = False
    """Whether to send to users who are no contacts and have no conversation with the account."""


class BroadcastResult(Result):
    """The ledger: what became of each chat."""

    sent: int
    refused: dict[str, str]
    """Chat → why it is not there: Telegram's name of the error, CHAT_NOT_FOUND, or STRANGER."""
    left_out: int = 0
    """How many more were refused, and found no room in the list."""


async def run(task: TaskRun, arguments: BroadcastArguments) -> BroadcastResult:
    """Send to each chat, from the cursor on.

    A message that was sent before a crash, and not noted, is sent again under the same
    random_id: Telegram takes it for the same one.
    """
    from telethon import errors
    from telethon.tl import functions

    from afx.telegram.chats import ChatNotFoundError, Dialogs, find_chat
    from afx.telegram.errors import error_name, is_lost_login
    from afx.telegram.strangers import is_stranger

    begin = _whole(task.cursor.get("next"))
    sent = _whole(task.cursor.get("sent"))
    refused = _places(task.cursor.get("refused"))
    count = len(arguments.chats)
    dialogs = Dialogs(arguments.chats[begin:])
    for index in range(begin, count):
        chat = arguments.chats[index]
        why = ""
        try:
            found = await find_chat(task.call, chat, dialogs)
            # What is found by its id is among the account's conversations.
            may_be_stranger = chat.startswith("@") and not arguments.to_strangers
            if may_be_stranger and await is_stranger(task.call, found.peer, found.entity):
                why = _STRANGER
            else:
                await task.call(
                    functions.messages.SendMessageRequest(
                        found.peer, arguments.text, random_id=task.random_id(f"{index}:{chat}")
                    )
                )
                sent += 1
        except ChatNotFoundError:
            why = _NOT_FOUND
        except errors.RandomIdDuplicateError:
            sent += 1  # the first send of it is still under way
        except (errors.BadRequestError, errors.ForbiddenError) as error:
            if is_lost_login(error):
                raise
            why = error_name(error)
        if why:
            refused.setdefault(why, []).append(index)
            task.log(f"chat {index + 1} of {count}: {why}")
        cursor = {"next": index + 1, "sent": sent, "refused": refused}
        await task.save((index + 1) / count, cursor)
        if index + 1 < count:
            await task.sleep(arguments.pause_seconds)
    return _result(arguments.chats, sent, refused)


def _result(chats: Sequence[str], sent: int, refused: dict[str, list[int]]) -> BroadcastResult:
    pairs = sorted((index, why) for why, places in refused.items() for index in places)
    listed: dict[str, str] = {}
    room = _MOST_LISTED
    for index, why in pairs:
        if index < len(chats):
            room -= len(json.dumps({chats[index]: why}))
            if room >= 0:
                listed[chats[index]] = why
    left_out = len({chats[index] for index, _ in pairs if index < len(chats)} - listed.keys())
    return BroadcastResult(sent=sent, refused=listed, left_out=left_out)


def _places(noted: Any) -> dict[str, list[int]]:
    """Return why → the places of the chats of which it is so: short, as a cursor has to be."""
    if not isinstance(noted, dict):
        return {}
    return {
        str(why): [it for it in places if type(it) is int and it >= 0]
        for why, places in noted.items()
        if isinstance(places, list)
    }


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
