"""The view of dead letters."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from afx.api.dashboard.pages import MOST_ROWS, page
from afx.api.dashboard.views import rows_of
from afx.operations import dead_letters
from afx.operations.context import Context
from afx.operations.dead_letters import DeadReason

router = APIRouter(include_in_schema=False)
_MOST_COUNTS = 50


@router.get("/dead-letters")
async def list_dead_letters(request: Request) -> Response:
    """List what could not be delivered: how much of which rule, then the rows."""
    query = request.query_params
    rule = query.get("rule", "").strip()[:201] or None
    wanted = query.get("reason", "")
    reason = DeadReason(wanted) if wanted in list(DeadReason) else None

    def read(context: Context) -> dict[str, Any]:
        def some(after: Any) -> Any:
            return dead_letters.listing(
                context, after=after, limit=MOST_ROWS, rule=rule, reason=reason
            )

        found = rows_of(request, some)
        counts = [
            it
            for it in (() if found["wrong"] else dead_letters.counts(context, rule=rule))
            if reason is None or it.reason == reason
        ]
        counts.sort(key=lambda it: -it.count)
        return {
            **found,
            "counts": counts[:_MOST_COUNTS],
            "rules": len({it.rule_id for it in counts}),
            "total": sum(it.count for it in counts),
            "reasons": list(DeadReason),
            "reason": reason or "",
            "rule": rule,
        }

    return await page(request, "dead_letters.html", read)
