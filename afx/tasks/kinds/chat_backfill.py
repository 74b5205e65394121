"""chat.backfill: copies the newest messages of a chat to another one, oldest first."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from afx.tasks.kinds.base import Arguments, Idempotence, Kind, TaskFailedError, TaskRun
from afx.tasks.kinds.chat_fields import ChatName, cursor_number
from afx.tasks.kinds.copying import CopyResult, copy_range, forwards


class BackfillArguments(Arguments):
    """What to copy, and where to."""

    later: ClassVar = frozenset({"to_strangers"})

    source: ChatName
    destination: ChatName
    most: int = Field(100, ge=1, le=10_000)
    """The newest so many messages, by their ids."""
    keeps_author: bool = False
    to_strangers: bool = False
    """Whether to send to a user who is no contact and has no conversation with the account."""


async def run(task: TaskRun, arguments: BackfillArguments) -> CopyResult:
    """Copy from the cursor on."""
    from afx.telegram.chats import find_chat
    from afx.telegram.history import newest_id
    from afx.telegram.strangers import is_stranger

    source = await find_chat(task.call, arguments.source)
    destination = await find_chat(task.call, arguments.destination)
    may_be_stranger = arguments.destination.startswith("@") and not arguments.to_strangers
    if may_be_stranger and await is_stranger(task.call, destination.peer, destination.entity):
        raise TaskFailedError(
            f"{arguments.destination} does not know the account; give 'to_strangers' to send there."
        )
    to = cursor_number(task.cursor, "to") or await newest_id(task.call, source.peer)
    counts = {it: cursor_number(task.cursor, it) for it in ("copied", "refused")}
    await copy_range(
        task,
        source=source.peer,
        prepare=forwards(
            source.peer,
            [(destination.peer, lambda it: task.random_id(str(it)), arguments.keeps_author)],
        ),
        beyond=max(to - arguments.most, cursor_number(task.cursor, "beyond")),
        to=to,
        counts=counts,
    )
    return CopyResult(**counts)


KIND = Kind(
    name="chat.backfill",
    summary="Copy the newest messages of a chat to another one, oldest first.",
    arguments=BackfillArguments,
    result=CopyResult,
    run=run,
    idempotence=Idempotence.KEYED,
    priority="low",
    max_attempts=5,
    timeout_seconds=3600,
)
