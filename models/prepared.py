"""Statements whose text is made once: for reads that are asked for thousands of times a second.

Peewee takes most of a millisecond to write a statement with three joins, the database a tenth of
that to carry it out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import peewee

from models.base import JsonField, UtcField, proxy

_CONVERTED = (UtcField, JsonField, peewee.BooleanField)
Columns = list[tuple[str, Callable[[Any], Any] | None]]


@dataclass(slots=True, frozen=True)
class _Statement:
    database: Any
    text: str
    fixed: list[Any]
    """The values before those that change."""
    columns: Columns


class Prepared:
    """Queries by their shape: the text is kept, the last values change."""

    def __init__(self) -> None:
        self._known: dict[Any, _Statement] = {}

    def rows(
        self, shape: Any, values: Sequence[Any], query: Callable[[], Any]
    ) -> list[dict[str, Any]]:
        """Return the rows of a query, which is written when its ``shape`` is new.

        ``values`` are the last ones that the query binds, in the order of its text; the
        others are the same for each query of this shape. Raises ValueError otherwise.
        """
        database = proxy.obj
        known = self._known.get(shape)
        if known is None or known.database is not database:
            made = query()
            text, bound = made.sql()
            fixed = list(bound)[: len(bound) - len(values)]
            if [*fixed, *values] != list(bound):
                raise ValueError("the query binds other values last")
            known = self._known[shape] = _Statement(database, text, fixed, _columns(made))
        with peewee.__exception_wrapper__:
            found = database.execute_sql(known.text, [*known.fixed, *values]).fetchall()
        return [
            {
                name: value if convert is None else convert(value)
                for (name, convert), value in zip(known.columns, row, strict=True)
            }
            for row in found
        ]


def _columns(query: Any) -> Columns:
    """Return the name of each selected column, and what makes its value Python's."""
    return [
        # SQLite has no truths: it returns numbers.
        (it.name, it.python_value if isinstance(it, _CONVERTED) else None)
        for it in query.selected_columns
    ]
