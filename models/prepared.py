"""Statements whose text is made once: for reads that are asked for thousands of times a second.

Peewee takes most of a millisecond to write a statement with three joins, the database a tenth of
that to carry it out.
"""

from __future__ import annotations

import json
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
    at_once: str
    """The same statement, whose rows come as one JSON text; empty: the database has none."""


class Prepared:
    """Queries by their shape: the text is kept, the last values change."""

    def __init__(self) -> None:
        self._known: dict[Any, _Statement] = {}

    def rows(
        self,
        shape: Any,
        values: Sequence[Any],
        query: Callable[[], Any],
        *,
        at_once: bool = False,
    ) -> list[dict[str, Any]]:
        """Return the rows of a query, which is written when its ``shape`` is new.

        ``values`` are the last ones that the query binds, in the order of its text; the
        others are the same for each query of this shape. Raises ValueError otherwise.
        ``at_once``: the query has an order and a limit, and selects no bytes.
        """
        database = proxy.obj
        known = self._known.get(shape)
        if known is None or known.database is not database:
            made = query()
            text, bound = made.sql()
            fixed = list(bound)[: len(bound) - len(values)]
            if [*fixed, *values] != list(bound):
                raise ValueError("the query binds other values last")
            json_text = _as_json(database, text, made) if at_once else ""
            known = self._known[shape] = _Statement(
                database, text, fixed, _columns(made), json_text
            )
        with peewee.__exception_wrapper__:
            cursor = database.execute_sql(known.at_once or known.text, [*known.fixed, *values])
            found = cursor.fetchall()
        if known.at_once:
            found = json.loads(found[0][0])
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


def _as_json(database: Any, text: str, query: Any) -> str:
    """Return a statement of SQLite that gives the rows as one; empty where there is none.

    Python's module gives the interpreter away and takes it back for each row. On a machine
    that is busy each of that is a wait: a page of 20 takes half as long in one row.
    """
    names = [getattr(it, "column_name", it.name) for it in query.selected_columns]
    if not isinstance(database, peewee.SqliteDatabase) or len(set(names)) < len(names):
        return ""
    try:
        database.execute_sql("SELECT json_group_array(json_array(1))").fetchall()
    except peewee.OperationalError:
        return ""  # an SQLite that was built without JSON
    # Not in quotation marks: a name that is none would be a text.
    columns = ", ".join(f"[{it}]" for it in names)
    return f"SELECT json_group_array(json_array({columns})) FROM ({text})"
