"""The views of webhooks and of what was sent to them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from afx.api.dashboard.pages import MOST_ROWS, page
from afx.api.dashboard.views import rows_of
from afx.operations import webhooks
from afx.operations.context import Context

router = APIRouter(include_in_schema=False)


@router.get("/webhooks")
async def list_webhooks(request: Request) -> Response:
    """List webhooks by name."""

    def read(context: Context) -> dict[str, Any]:
        return rows_of(
            request, lambda after: webhooks.listing(context, after=after, limit=MOST_ROWS)
        )

    return await page(request, "webhooks.html", read)


@router.get("/webhooks/{name}")
async def show_webhook(request: Request, name: str) -> Response:
    """Show a webhook, and what was sent to it, the newest first."""
    wanted = request.query_params.get("state", "")
    state = wanted if wanted in webhooks.STATES else None

    def read(context: Context) -> dict[str, Any]:
        def some(after: Any) -> Any:
            return webhooks.deliveries(context, name, after=after, limit=MOST_ROWS, state=state)

        hook = webhooks.show(context, name)
        return {**rows_of(request, some), "hook": hook, "states": webhooks.STATES, "state": state}

    return await page(request, "webhook.html", read)
