"""rule.replay: sends old messages of a rule's sources again, as the rule does.

Each copy has the random_id that live forwarding gives it: while Telegram remembers that id,
a message that was forwarded is not doubled.
"""

from __future__ import annotations

from pydantic import Field

from afx.tasks.kinds.base import Arguments, Idempotence, Kind, TaskRun
from afx.tasks.kinds.chat_fields import cursor_number
from afx.tasks.kinds.copying import CopyResult, copy_range
from afx.tasks.kinds.rule_fields import rule_of


class ReplayArguments(Arguments):
    """Which messages."""

    rule: int = Field(ge=1)
    """The rule's id."""
    first: int = Field(ge=1, lt=2**31)
    """The first message's id."""
    last: int = Field(ge=1, lt=2**31)


async def run(task: TaskRun, arguments: ReplayArguments) -> CopyResult:
    """Replay each source, from the cursor on."""
    from afx.forwarding.pipeline import random_id
    from afx.telegram.chats import find_chat

    rule = rule_of(task, arguments.rule)
    targets = [await find_chat(task.call, it) for it in rule.destinations]
    counts = {it: cursor_number(task.cursor, it) for it in ("copied", "refused")}
    done = cursor_number(task.cursor, "sources")
    for index, name in enumerate(rule.sources):
        if index < done:
            continue
        source = await find_chat(task.call, name)
        beyond = cursor_number(task.cursor, "beyond") if index == done else 0
        await copy_range(
            task,
            source=source.peer,
            destinations=[
                (
                    it.peer,
                    lambda message, to=it.marked, chat=source.marked: random_id(  # type: ignore[misc]
                        rule.id, chat, message, to
                    ),
                    rule.mode == "forward",
                )
                for it in targets
            ],
            beyond=max(arguments.first - 1, beyond),
            to=arguments.last,
            counts=counts,
        )
        await task.save((index + 1) / len(rule.sources), {"sources": index + 1, **counts})
    return CopyResult(**counts)


KIND = Kind(
    name="rule.replay",
    summary="Send a range of old messages again, as a rule forwards them.",
    arguments=ReplayArguments,
    result=CopyResult,
    run=run,
    idempotence=Idempotence.KEYED,
    priority="low",
    max_attempts=5,
    timeout_seconds=3600,
)
