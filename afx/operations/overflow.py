"""The overflow queue: sessions that fit on no node and wait for room."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from afx.operations.context import Context, operation
from afx.operations.pages import Page, page_of
from models.storage import queue

_POLL_SECONDS = 0.2


@dataclass(slots=True, frozen=True)
class OverflowRow:
    """One session that waits for room."""

    id: int
    name: str
    user: str
    tier: str
    reason: str
    since: datetime
    attempts: int


@operation("overflow:read")
def listing(
    context: Context, *, after: str | None = None, limit: int = 100, sort: str = "name"
) -> Page[OverflowRow]:
    """Return the sessions that wait, by name, or by ``since`` when."""
    del context
    return page_of(OverflowRow, queue.listing(after=after, limit=limit, sort=sort))


@operation("overflow:read")
def watch(
    context: Context,
    *,
    timeout: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[int]:
    """Yield how many sessions wait: at once, and until none does or time is up."""
    del context
    return _counts(clock() + timeout, clock, sleep)


def _counts(
    until: float, clock: Callable[[], float], sleep: Callable[[float], None]
) -> Iterator[int]:
    while True:
        count = queue.count()
        yield count
        if not count or clock() >= until:
            return
        sleep(_POLL_SECONDS)
