"""Copying old messages of a chat to another one, page by page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from afx.tasks.kinds.base import Result, TaskRun

_AT_ONCE = 20
_PAUSE_SECONDS = 1.0


class CopyResult(Result):
    """What was copied."""

    copied: int
    refused: int
    """Messages that Telegram would not copy."""


Prepare = Callable[[Sequence[Any]], Awaitable[list[tuple[int, Any]]]]
"""Returns the requests that copy a page of messages, each with how many it copies."""


def forwards(source: Any, destinations: list[tuple[Any, Callable[[int], int], bool]]) -> Prepare:
    """Return what copies messages as they are to each destination, given as
    (peer, random_id of a message, whether it keeps the author).
    """
    from telethon.tl import functions

    async def prepare(messages: Sequence[Any]) -> list[tuple[int, Any]]:
        ids = [it.id for it in messages]
        return [
            (
                len(ids),
                functions.messages.ForwardMessagesRequest(
                    from_peer=source,
                    id=ids,
                    random_id=[random_id(it) for it in ids],
                    to_peer=peer,
                    drop_author=None if keeps_author else True,
                ),
            )
            for peer, random_id, keeps_author in destinations
        ]

    return prepare


async def copy_range(
    task: TaskRun,
    *,
    source: Any,
    prepare: Prepare,
    beyond: int,
    to: int,
    counts: dict[str, int],
) -> None:
    """Copy messages above ``beyond``, up to ``to``.

    The cursor moves after each page; a page that is repeated has the same random ids.
    """
    from telethon import errors

    from afx.telegram.history import pages

    first = beyond
    async for messages in pages(task.call, source, beyond=beyond, to=to, size=_AT_ONCE):
        ids = [it.id for it in messages]
        for count, request in await prepare(messages):
            try:
                await task.call(request)
                counts["copied"] += count
            except errors.RandomIdDuplicateError:
                counts["copied"] += count  # an earlier attempt has sent them
            except (errors.MessageIdInvalidError, errors.MessageIdsEmptyError):
                counts["refused"] += count
                task.log(f"messages {ids[0]} to {ids[-1]} cannot be copied")
        share = (ids[-1] - first) / max(1, to - first)
        await task.save(share, {"beyond": ids[-1], "to": to, **counts})
        await task.sleep(_PAUSE_SECONDS)
