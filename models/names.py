"""Names that people give: what may be one, and finding what one means."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from peewee import SQL, NodeList, Ordering, fn

from afx.errors import NotFoundError, UsageError, printable
from models.base import is_postgres
from models.prepared import Prepared

LONGEST = 100
_exact: ContextVar[bool] = ContextVar("exact", default=False)
_SHOWN = 5
_AFTER_ALL = "\U0010ffff"
_prepared = Prepared()


def check_name(kind: str, name: str) -> str:
    """Return a name that may be given to a ``kind`` of thing.

    Raises UsageError when it is empty, too long, a short number (an id looks so),
    begins with a dash, or holds what cannot be printed.
    """
    if not name or len(name) > LONGEST:
        raise UsageError(f"A {kind}'s name has 1 to {LONGEST} characters; choose another.")
    if not name.isprintable() or name != name.strip():
        raise UsageError(
            f"A {kind}'s name has no control characters and no spaces around it; choose another."
        )
    if _is_id(name):
        raise UsageError(f"'{name}' looks like an id; a {kind}'s name is no short number.")
    if name.startswith("-"):
        raise UsageError(f"A {kind}'s name does not begin with a dash; choose another.")
    return name


@contextmanager
def exactly() -> Iterator[None]:
    """Let only whole names and ids mean a thing, for the block: programs do not abbreviate."""
    before = _exact.set(True)
    try:
        yield
    finally:
        _exact.reset(before)


def beginning(field: Any, prefix: str) -> Any:
    """Return the condition that a column begins with a text, taken literally."""
    if prefix and is_postgres():
        # Its order of texts depends on a locale; an index for patterns finds them.
        return field % _pattern(prefix)
    exact = fn.SUBSTR(field, 1, len(prefix)) == prefix
    if not prefix:
        return exact
    # SQLite orders texts by code points, so an index finds the range.
    return exact & (field >= prefix) & (field < prefix + _AFTER_ALL)


def bound_by_beginning(prefix: str) -> list[Any]:
    """Return the values that ``beginning`` binds last, in their order."""
    if is_postgres():
        return [_pattern(prefix)]
    return [len(prefix), prefix, prefix, prefix + _AFTER_ALL]


def by_code_points(field: Any) -> Any:
    """Return the order in which the index finds texts that ``beginning`` selects.

    In any other order Postgres may read all texts before the first page of a few.
    """
    return Ordering(field, "USING ~<~") if is_postgres() else field


def beyond(field: Any, text: str) -> Any:
    """Return the condition that a column comes after a text in the order ``by_code_points``."""
    return NodeList((field, SQL("~>~"), text)) if is_postgres() else field > text


def _pattern(prefix: str) -> str:
    """Return a pattern of LIKE for texts that begin with a text."""
    return re.sub(r"([\\%_])", r"\\\1", prefix) + "%"


def by_prefix(table: Any, prefix: str, *, within: Any = True) -> list[str]:
    """Return a few names that begin with a text, in order."""
    condition = beginning(table.name, prefix) & within
    return _first(table.select(table.name), table.name, condition, _SHOWN + 1)


def completions(query: Any, text: Any, prefix: str, *, most: int = 1_000) -> list[str]:
    """Return names that begin with a text: all of them, or some when there are more.

    ``query`` selects ``text``. A shell inserts what all candidates have in common, so
    those that are returned have no more in common than all that there are.
    """
    found = _first(query, text, beginning(text, prefix), most)
    if len(found) < most:
        return found
    # Texts, not paths: characters are what counts.
    while len(common := os.path.commonprefix(found)) > len(prefix):  # noqa: RUF071
        others = beginning(text, prefix) & ~beginning(text, common)
        other = _first(query, text, others, 1)
        if not other:
            break
        found += other
    return found


def _first(query: Any, text: Any, condition: Any, limit: int) -> list[str]:
    rows = query.where(condition).order_by(by_code_points(text)).limit(limit)
    return [str(name) for (name,) in rows.tuples()]


def find(table: Any, kind: str, text: str, *, within: Any = True) -> Any:
    """Return the row that a name, an id or a unique beginning of a name means.

    Inside ``exactly`` a beginning means nothing. Only rows that fulfil the condition
    ``within`` are considered. Raises UsageError when there is none, or more than one.
    """
    found = None
    if _is_id(text) and _has_id(table):  # no name is a short number
        found = _row(table, table.id, int(text), within)
    if found is None:
        found = _row(table, table.name, text, within)
    if found is not None:
        return found
    matches = by_prefix(table, text, within=within) if text and not _exact.get() else []
    if len(matches) == 1:
        return table.get(table.name == matches[0])
    if matches:
        raise UsageError(
            f"'{printable(text)}' may mean {_enumerated(matches)}; give more of the name."
        )
    raise NotFoundError(
        f"There is no {kind} '{printable(text)}'; 'afx {kind} list' shows them all."
    )


def _row(table: Any, field: Any, value: Any, within: Any) -> Any:
    """Return the row whose field has a value, if it fulfils a condition; None without one."""
    if within is not True:
        return table.get_or_none((field == value) & within)
    # Almost each request finds something by its name: the text of the statement is kept.
    rows = _prepared.rows(
        (table, field.name), [value], lambda: table.select().where(field == value)
    )
    if not rows:
        return None
    found = table(__no_default__=1, **rows[0])
    found._dirty.clear()  # noqa: SLF001 -- as Peewee does with what it has read
    return found


def _has_id(table: Any) -> bool:
    # A table whose key is a name still has the ``id`` of the base of all tables.
    field = getattr(table, "id", None)
    return field is not None and field.model is table


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 10


def _enumerated(names: Sequence[str]) -> str:
    text = ", ".join(names[:_SHOWN])
    return f"{text} and others" if len(names) > _SHOWN else text
