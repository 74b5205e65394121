"""Long lists by pages: each begins after the last key of the one before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from peewee import SQL

from afx.errors import UsageError
from models import names
from models.prepared import Prepared

MOST = 10_000
_ALL_AT_ONCE = 1_000
_COMMON_LIMITS = (10, 20, 50, 100)
"""They are part of a kept text; others are its values."""


@dataclass(slots=True, frozen=True)
class Page:
    """Some rows of a list, and where the next page begins."""

    rows: list[dict[str, Any]]
    next: Any
    """The key to give as ``after`` for more; None at the end."""


def fetch(
    query: Any,
    key: Any,
    *,
    after: Any,
    limit: int,
    newest_first: bool = False,
    by_code_points: bool = False,
) -> Page:
    """Return one page of a query, ordered by ``key``, which must be unique.

    ``key`` is a field that the query selects under its own name, ``by_code_points`` the order
    of the names that have a beginning. Raises UsageError for a limit outside 1 to 10,000.
    """
    if not 1 <= limit <= MOST:
        raise UsageError(f"A page has 1 to {MOST} rows; give another limit.")
    made = Query(lambda: query, key, by_code_points=by_code_points)
    query = _part(made, after, newest_first=newest_first).limit(limit + 1)
    rows = list(query.dicts())
    more = len(rows) > limit
    rows = rows[:limit]
    return Page(rows, rows[-1][key.name] if more else None)


@dataclass(slots=True, frozen=True)
class Query:
    """A query that is made when it is needed, and the key that orders it."""

    make: Callable[[], Any]
    key: Any
    by_code_points: bool = False


def _part(query: Query, after: Any, *, newest_first: bool) -> Any:
    """Return a query in its order, without what comes before its page."""
    found, key = query.make(), query.key
    if query.by_code_points:
        found = found if after is None else found.where(names.beyond(key, after))
        return found.order_by(names.by_code_points(key))
    if after is not None:
        found = found.where(key < after if newest_first else key > after)
    return found.order_by(key.desc() if newest_first else key)


def fetch_prepared(
    query: Query,
    prepared: Prepared,
    shape: Any,
    values: Sequence[Any],
    *,
    after: Any,
    limit: int,
    newest_first: bool = False,
) -> Page:
    """Return what ``fetch`` does, of a query whose text is kept by its ``shape``.

    ``values`` are those that the query binds last.
    """
    if not 1 <= limit <= MOST:
        raise UsageError(f"A page has 1 to {MOST} rows; give another limit.")

    def made() -> Any:
        most = SQL(str(limit + 1)) if is_common else limit + 1
        return _part(query, after, newest_first=newest_first).limit(most)

    # Postgres plans a statement anew each time while its limit is a parameter.
    is_common = limit in _COMMON_LIMITS
    last = [*values, *([] if after is None else [after]), *([] if is_common else [limit + 1])]
    shape = (shape, after is None, limit if is_common else 0)
    rows = prepared.rows(shape, last, made, at_once=True)
    more = len(rows) > limit
    rows = rows[:limit]
    return Page(rows, rows[-1][query.key.name] if more else None)


def every(page: Callable[[Any, int], Page], *, first: Any = None) -> Iterator[dict[str, Any]]:
    """Yield all rows of a list in constant memory; ``page`` takes (after, limit)."""
    after = first
    while True:
        held = page(after, _ALL_AT_ONCE)
        yield from held.rows
        if held.next is None:
            return
        after = held.next
