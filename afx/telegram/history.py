"""A chat's messages, oldest first, page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from telethon.tl import functions, types

PAGE = 100

Call = Callable[[Any], Awaitable[Any]]


async def newest_id(call: Call, peer: Any) -> int:
    """Return the id of a chat's newest message; 0 for none."""
    page = await call(_request(peer, offset_id=0, add_offset=0, limit=1))
    return max((it.id for it in page.messages), default=0)


async def pages(
    call: Call, peer: Any, *, beyond: int, to: int, size: int = PAGE
) -> AsyncIterator[list[Any]]:
    """Yield the messages whose ids are above ``beyond``, up to and including ``to``.

    Service messages are left out. Source: core.telegram.org/api/offsets.
    """
    while beyond < to:
        found = await page_beyond(call, peer, beyond, size)
        if not found:
            return
        beyond = found[-1].id
        messages = [it for it in found if isinstance(it, types.Message) and it.id <= to]
        if messages:
            yield messages


async def page_beyond(call: Call, peer: Any, beyond: int, size: int) -> list[Any]:
    """Return the first messages whose ids are above ``beyond``, oldest first; none: no more.

    Source: core.telegram.org/api/offsets.
    """
    page = await call(_request(peer, offset_id=beyond + 1, add_offset=-size, limit=size))
    return sorted((it for it in page.messages if it.id > beyond), key=lambda it: it.id)


def _request(peer: Any, *, offset_id: int, add_offset: int, limit: int) -> Any:
    return functions.messages.GetHistoryRequest(
        peer=peer,
        offset_id=offset_id,
        offset_date=None,
        add_offset=add_offset,
        limit=limit,
        max_id=0,
        min_id=0,
        hash=0,
    )
