"""Long lists by pages: each begins after the last key of the one before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from models import paging

T = TypeVar("T")
_PART = 1_000


@dataclass(slots=True, frozen=True)
class Page(Generic[T]):
    """Some rows of a list, and where the next page begins."""

    rows: tuple[T, ...]
    next: Any
    """The key to give as ``after`` for more; None at the end."""


def page_of(make: Callable[..., T], page: paging.Page) -> Page[T]:
    """Return a page of the data layer with each row made a value; fields by name."""
    return Page(tuple(make(**row) for row in page.rows), page.next)


def every(fetch: Callable[[Any, int], Page[T]], *, first: Any = None) -> Iterator[T]:
    """Yield all rows of a list in constant memory; ``fetch`` takes (after, limit)."""
    after = first
    while True:
        page = fetch(after, _PART)
        yield from page.rows
        if page.next is None:
            return
        after = page.next
