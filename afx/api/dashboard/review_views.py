"""The view of messages that wait for an approval."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from afx.api.dashboard.pages import MOST_ROWS, page
from afx.api.dashboard.views import rows_of
from afx.operations import reviews
from afx.operations.context import Context

router = APIRouter(include_in_schema=False)
_STATES = ("held", "approved", "released", "rejected", "expired", "deleted")
_MOST_RULES = 50


@router.get("/reviews")
async def list_held_messages(request: Request) -> Response:
    """List what waits for an approval: how much of which rule, then the messages."""
    query = request.query_params
    rule = query.get("rule", "").strip()[:201] or None
    wanted = query.get("state", "held")
    state = wanted if wanted in _STATES else "held"

    def read(context: Context) -> dict[str, Any]:
        def some(after: Any) -> Any:
            return reviews.listing(context, after=after, limit=MOST_ROWS, rule=rule, state=state)

        found = rows_of(request, some)
        waiting = [] if found["wrong"] else reviews.waiting(context, rule=rule)
        waiting.sort(key=lambda it: -it.count)
        return {
            **found,
            "waiting": waiting[:_MOST_RULES],
            "rules": len(waiting),
            "total": sum(it.count for it in waiting),
            "states": _STATES,
            "state": state,
            "rule": rule,
        }

    return await page(request, "reviews.html", read)
