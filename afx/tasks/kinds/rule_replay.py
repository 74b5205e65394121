"""rule.replay: sends old messages of a rule's sources again, as the rule does.

The task only says what is wanted, and follows it: the session puts the messages into the lanes
of the rule's destinations, a few at a time, and keeps what is new of the rule behind them (see
``afx.node.backfill_reader``). So they are filtered, changed and sent as live ones are, by the
rule's senders too, in order with those; a message that has a copy gets no second one. A bot is
refused, which cannot read old messages (method/messages.getHistory is for people).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

from pydantic import Field, ValidationInfo, field_validator

from afx.cluster.task_jobs import REPLAY
from afx.empty import NOTHING
from afx.tasks.kinds.base import (
    Arguments,
    Idempotence,
    Kind,
    SnoozeError,
    TaskFailedError,
    TaskRun,
)
from afx.tasks.kinds.chat_fields import cursor_number
from afx.tasks.kinds.copying import CopyResult
from afx.tasks.kinds.rule_fields import rule_of

_LOOK_SECONDS = 1.0
_MOST_LOOKS = 3_000
"""Of one run; the next one goes on. Its time-out must not end it."""
Range = tuple[int, int, int, int]
"""A source, and its first message, up to which one all are settled, and the last one."""


class ReplayArguments(Arguments):
    """Which messages."""

    rule: int = Field(ge=1)
    """The rule's id."""
    first: int = Field(ge=1, lt=2**31)
    """The first message's id."""
    last: int = Field(ge=1, lt=2**31)

    @field_validator("last")
    @classmethod
    def _check(cls, last: int, info: ValidationInfo) -> int:
        if last < info.data.get("first", 1):
            raise ValueError("it is before the first message; swap them")
        return last


async def run(task: TaskRun, arguments: ReplayArguments) -> CopyResult:
    """Let the session send them, and follow that."""
    try:
        return await _follow(task, arguments)
    except TaskFailedError:
        await _end(task, arguments.first)
        raise
    except asyncio.CancelledError:
        if task.is_cancelled:
            await _end(task, arguments.first)
        raise


async def _follow(task: TaskRun, arguments: ReplayArguments) -> CopyResult:
    destinations, sources = await _chats(task, arguments.rule)
    wanted = [_range(task, it, arguments) for it in sources]
    counts = cursor_number(task.cursor, "copied"), cursor_number(task.cursor, "refused")
    newest = {
        it.marked: partial(newest_of, task, it.peer)
        for it in sources
        if _number(task, "to", str(it.marked)) is None
    }
    before: Any = None
    for _ in range(_MOST_LOOKS):
        found = await task.backfill(arguments.rule, destinations, wanted, counts, newest)
        if before is None:
            wanted = [(*it[:3], found.to.get(it[0], it[2])) for it in wanted]
            newest = {}
        if found != before:
            before = found
            rest = {it[0]: it[2] for it in wanted if it[0] not in found.settled}
            await _note(task, arguments.first, found, rest)
        if found.is_over:
            if found.failure:
                raise TaskFailedError(
                    f"Not all messages were sent: {found.failure}. Once that is mended, "
                    f"'afx task retry {task.task_id}' goes on where it was."
                )
            await task.end_backfill()
            return CopyResult(copied=found.copied, refused=found.refused)
        await task.sleep(_LOOK_SECONDS)
    raise SnoozeError(1.0, "It goes on.")


async def newest_of(task: TaskRun, peer: Any) -> int:
    """Return the id of a chat's newest message; 0 for none."""
    from afx.telegram.history import newest_id

    return await newest_id(task.call, peer)


async def _note(task: TaskRun, first: int, found: Any, rest: Mapping[int, int] = NOTHING) -> None:
    """Save how far it is; ``rest`` are sources of which nothing is to be sent."""
    settled = {**rest, **found.settled}
    last = {**rest, **found.to}
    cursor = {
        "copied": found.copied,
        "refused": found.refused,
        "to": {str(chat): number for chat, number in last.items()},
        "settled": {str(chat): number for chat, number in settled.items()},
    }
    await task.save(_share(first, last, settled), cursor)


async def _end(task: TaskRun, first: int) -> None:
    """End what the session does, and keep the place: a task that is resumed goes on there."""
    found = await task.end_backfill()
    if found is not None:
        await _note(task, first, found)


async def _chats(task: TaskRun, number: int) -> tuple[list[int], list[Any]]:
    """Return the marked destinations of a rule, and its sources; raises TaskFailedError."""
    from afx.forwarding.options import compile_options
    from afx.forwarding.outputs import is_output_text
    from afx.forwarding.topics import chat_of
    from afx.telegram.chats import find_chat
    from afx.telegram.strangers import STRANGER, is_stranger

    rule = rule_of(task, number)
    chats = [it for it in rule.destinations if not is_output_text(it)]
    if not chats:
        raise TaskFailedError("All destinations of the rule are outputs; only chats are replayed.")
    try:
        compile_options(rule.options)
    except (ValueError, LookupError, TypeError) as error:
        raise TaskFailedError(f"This node cannot use the rule: {error}.") from error
    if await _is_bot(task):
        raise TaskFailedError(
            "A bot cannot read old messages, which Telegram lets people alone do. Nothing was sent."
        )
    targets = {it: await find_chat(task.call, chat_of(it)) for it in chats}
    for name, it in targets.items():
        if not rule.options.get("strangers") and await is_stranger(task.call, it.peer, it.entity):
            raise TaskFailedError(f"{name}: {STRANGER}.")
    found = {
        it.marked: it for it in [await find_chat(task.call, chat_of(it)) for it in rule.sources]
    }
    return list(dict.fromkeys(it.marked for it in targets.values())), list(found.values())


def _range(task: TaskRun, source: Any, arguments: ReplayArguments) -> Range:
    """Return what is wanted of a source; what is newer than the first look at it is live."""
    key = str(source.marked)
    to, beyond = _number(task, "to", key), _number(task, "settled", key)
    before = arguments.first - 1
    return (
        source.marked,
        arguments.first,
        before if beyond is None else max(before, beyond),
        arguments.last if to is None else to,
    )


def _number(task: TaskRun, of: str, key: str) -> int | None:
    found = task.cursor.get(of)
    number = found.get(key) if isinstance(found, dict) else None
    return number if type(number) is int and 0 <= number < 2**31 else None


def _share(first: int, last: Mapping[int, int], settled: Mapping[int, int]) -> float:
    """Return which part of all messages is settled, by their ids."""
    whole = sum(max(0, to - first + 1) for to in last.values())
    done = sum(max(0, min(settled.get(it, 0), to) - first + 1) for it, to in last.items())
    return min(1.0, done / whole) if whole else 1.0


async def _is_bot(task: TaskRun) -> bool:
    """Return whether the account is a bot."""
    from telethon.tl import functions, types

    [me] = await task.call(functions.users.GetUsersRequest([types.InputUserSelf()]))
    return bool(me.bot)


KIND = Kind(
    name=REPLAY,
    summary="Send a range of old messages again, as a rule forwards them.",
    arguments=ReplayArguments,
    result=CopyResult,
    run=run,
    idempotence=Idempotence.KEYED,
    priority="low",
    max_attempts=5,
    timeout_seconds=3600,
)
