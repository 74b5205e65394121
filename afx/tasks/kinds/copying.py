"""Copying old messages of a chat to another one, page by page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from afx.tasks.kinds.base import Result, TaskRun

_AT_ONCE = 20
_PAUSE_SECONDS = 1.0


class CopyResult(Result):
    """What was copied."""

    copied: int
    refused: int
    """Messages that Telegram would not copy."""


async def copy_range(
    task: TaskRun,
    *,
    source: Any,
    destinations: list[tuple[Any, Callable[[int], int], bool]],
    beyond: int,
    to: int,
    counts: dict[str, int],
) -> None:
    """Copy messages above ``beyond``, up to ``to``, to each destination as
    (peer, random_id of a message, whether it keeps the author).

    The cursor moves after each page; a page that is repeated has the same random ids.
    """
    from telethon import errors
    from telethon.tl import functions

    from afx.telegram.history import pages

    first = beyond
    async for messages in pages(task.call, source, beyond=beyond, to=to, size=_AT_ONCE):
        ids = [it.id for it in messages]
        for peer, random_id, keeps_author in destinations:
            request = functions.messages.ForwardMessagesRequest(
                from_peer=source,
                id=ids,
                random_id=[random_id(it) for it in ids],
                to_peer=peer,
                drop_author=None if keeps_author else True,
            )
            try:
                await task.call(request)
                counts["copied"] += len(ids)
            except errors.RandomIdDuplicateError:
                counts["copied"] += len(ids)  # an earlier attempt has sent them
            except (errors.MessageIdInvalidError, errors.MessageIdsEmptyError):
                counts["refused"] += len(ids)
                task.log(f"messages {ids[0]} to {ids[-1]} cannot be copied")
        share = (ids[-1] - first) / max(1, to - first)
        await task.save(share, {"beyond": ids[-1], "to": to, **counts})
        await task.sleep(_PAUSE_SECONDS)
