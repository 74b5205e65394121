"""The view of proxies."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from afx.api.dashboard.pages import MOST_ROWS, page
from afx.api.dashboard.views import rows_of
from afx.operations import proxies
from afx.operations.context import Context

router = APIRouter(include_in_schema=False)


@router.get("/proxies")
async def list_proxies(request: Request) -> Response:
    """List proxies by name, of a pool or all."""
    pool = request.query_params.get("pool", "")

    def read(context: Context) -> dict[str, Any]:
        def some(after: Any) -> Any:
            return proxies.listing(context, pool=pool, after=after, limit=MOST_ROWS)

        return {**rows_of(request, some), "pool": pool}

    return await page(request, "proxies.html", read)
