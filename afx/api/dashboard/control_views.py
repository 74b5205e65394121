"""The views of controls: what was asked of nodes and sessions, and what came of it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from afx.api.dashboard.action import number_of
from afx.api.dashboard.fresh import rows_seen, shown_ids
from afx.api.dashboard.pages import MOST_ROWS, page
from afx.operations import controls
from afx.operations.context import Context
from afx.operations.controls import ControlRow
from afx.operations.pages import Page

router = APIRouter(include_in_schema=False)
_MOST_OPEN = 10


@router.get("/controls")
async def list_controls(request: Request) -> Response:
    """List controls: first those that were under way when the page was opened."""
    worker = request.query_params.get("worker") or None
    shown = shown_ids(request)

    def read(context: Context) -> dict[str, Any]:
        def some(after: Any) -> Page[Any]:
            return controls.listing(context, after=after, limit=MOST_ROWS, worker=worker)

        opened: tuple[ControlRow, ...] = ()
        if shown is not None:
            opened = controls.some(context, shown)
        elif not request.query_params.get("cursor"):
            opened = controls.listing(context, only_open=True, limit=_MOST_OPEN).rows
        return {**rows_seen(request, some), "opened": opened, "worker": worker}

    return await page(request, "controls.html", read)


@router.get("/controls/{control_id}")
async def show_control(request: Request, control_id: str) -> Response:
    """Show one control with its acknowledgement."""

    def read(context: Context) -> dict[str, Any]:
        return {"control": controls.show(context, number_of(control_id, "control"))}

    return await page(request, "control.html", read)
