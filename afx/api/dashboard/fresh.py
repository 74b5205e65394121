"""Live lists, the newest first: rows that are new wait for a click, and push nothing away.

A page says which row was its newest when it was opened; its refreshes send that, and get the
rows up to it as they are now, and how many have come since.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.requests import Request

from afx.api.dashboard.views import rows_of
from afx.operations.pages import Page

SEEN = "afx-seen"
"""The header with the newest row that a page shows."""
SHOWN = "afx-shown"
"""The header with the things that a page shows above its list."""
_MOST_SHOWN = 10
_MOST_DIGITS = 9


def rows_seen(request: Request, read: Callable[[Any], Page[Any]]) -> dict[str, Any]:
    """Return what ``rows_of`` does, without the rows that a page has not shown yet.

    ``newest`` is the newest row of the page, 0 for none, None where none can come above its rows;
    ``fresh`` counts the rows that have come since, ``…+`` when they fill a page.
    """
    if request.query_params.get("cursor"):
        return {**rows_of(request, read), "newest": None, "fresh": ""}
    seen = _numbers(request.headers.get(SEEN, ""))[:1]
    top = rows_of(request, read)
    rows = top["rows"]
    if not seen or not rows or rows[0].id <= seen[0]:
        newest = seen[0] if seen else rows[0].id if rows else 0
        return {**top, "newest": newest, "fresh": ""}
    count = sum(it.id > seen[0] for it in rows)
    fresh = f"{count}+" if count == len(rows) and top["more"] else str(count)
    found = rows_of(request, lambda _: read(seen[0] + 1))
    return {**found, "newest": seen[0], "fresh": fresh}


def shown_ids(request: Request) -> tuple[int, ...] | None:
    """Return what a page shows above its list; None: it is opened now."""
    text = request.headers.get(SHOWN)
    return None if text is None else _numbers(text)[:_MOST_SHOWN]


def _numbers(text: str) -> tuple[int, ...]:
    found = text.split(",", _MOST_SHOWN)
    return tuple(
        int(it) for it in found if it.isascii() and it.isdecimal() and len(it) <= _MOST_DIGITS
    )
