"""Lists in more than one order: each by a column that has an index, the id between equals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from peewee import Tuple

from afx.errors import UsageError, printable
from models import paging
from models.base import micros
from models.paging import MOST, Page


@dataclass(slots=True, frozen=True)
class Column:
    """A column by which a list can be sorted."""

    key: Any
    """A field that the query selects under its own name."""
    then: Any = None
    """The id, selected as ``id``, that orders equal ones; None: no two are equal."""


def order_of(sort: str, columns: Mapping[str, Column]) -> tuple[Column, bool]:
    """Return the column that ``sort`` names, and whether a ``-`` before it reverses the order.

    Raises UsageError for any other text.
    """
    name = sort.removeprefix("-")
    if name not in columns:
        known = ", ".join(columns)
        raise UsageError(
            f"This list has no order '{printable(sort)}'; it is sorted by {known}, and backwards "
            "with a dash before it."
        )
    return columns[name], sort.startswith("-")


def fetch(query: Any, columns: Mapping[str, Column], sort: str, *, after: Any, limit: int) -> Page:
    """Return one page of a query in the order that ``sort`` names.

    The key of the next page holds for this order alone: it is the column's value, and where
    that may be equal ``MICROSECONDS/ID``. Raises UsageError for another order or key.
    """
    column, backwards = order_of(sort, columns)
    if column.then is None:
        return paging.fetch(query, column.key, after=after, limit=limit, newest_first=backwards)
    if not 1 <= limit <= MOST:
        raise UsageError(f"A page has 1 to {MOST} rows; give another limit.")
    key, then = column.key, column.then
    if after is not None:
        # Compared as a row: an index of both columns finds where the page begins.
        here, there = Tuple(key, then), Tuple(*_key_of(after))
        query = query.where(here < there if backwards else here > there)
    order = (key.desc(), then.desc()) if backwards else (key, then)
    rows = list(query.order_by(*order).limit(limit + 1).dicts())
    more = len(rows) > limit
    rows = rows[:limit]
    last = rows[-1] if more else None
    return Page(rows, f"{micros(last[key.name])}/{last['id']}" if last else None)


def _key_of(text: Any) -> tuple[int, int]:
    at, slash, number = str(text).partition("/")
    if not slash or not all(
        it.isascii() and it.isdecimal() and len(it) < 19 for it in (at, number)
    ):
        raise UsageError("A page of this order begins after MICROSECONDS/ID; take it from a list.")
    return int(at), int(number)
