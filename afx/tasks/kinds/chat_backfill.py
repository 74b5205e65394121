"""chat.backfill: copies the newest messages of a chat to another one, oldest first."""

from __future__ import annotations

from pydantic import Field

from afx.tasks.kinds.base import Arguments, Idempotence, Kind, TaskRun
from afx.tasks.kinds.chat_fields import ChatName, cursor_number
from afx.tasks.kinds.copying import CopyResult, copy_range, forwards


class BackfillArguments(Arguments):
    """What to copy, and where to."""

    source: ChatName
    destination: ChatName
    most: int = Field(100, ge=1, le=10_000)
    """The newest so many messages, by their ids."""
    keeps_author: bool = False


async def run(task: TaskRun, arguments: BackfillArguments) -> CopyResult:
    """Copy from the cursor on."""
    from afx.telegram.chats import find_chat
    from afx.telegram.history import newest_id

    source = await find_chat(task.call, arguments.source)
    destination = await find_chat(task.call, arguments.destination)
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
