"""Controls, the overflow queue, and what the scaling check recommended."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from afx.api.replies import change, one, page
from afx.api.routes.endpoint import ORDER, ById, Cursor, Limit, Number, PageOf, endpoint
from afx.operations import controls, overflow, scaling
from afx.operations.context import Context
from afx.operations.controls import ControlRow
from afx.operations.overflow import OverflowRow
from afx.operations.scaling import ScalingRow

router = APIRouter(tags=["controls"])


class Said(BaseModel):
    """What a change did, in a sentence."""

    detail: str


@endpoint(router, "GET", "/controls", controls.listing, model=PageOf[ControlRow])
async def list_controls(
    request: Request,
    cursor: Cursor = None,
    limit: Limit = 100,
    worker: Annotated[str | None, Query(max_length=100)] = None,
    open_only: bool = False,
    sort: ById = "-id",
) -> Response:
    """List controls, the newest first."""
    return await page(
        request,
        lambda context, after: controls.listing(
            context, after=after, limit=limit, worker=worker, only_open=open_only, sort=sort
        ),
        cursor,
    )


@endpoint(router, "GET", "/controls/{control_id}", controls.show, model=ControlRow, one=True)
async def show_control(request: Request, control_id: Number) -> Response:
    """Show one control from its request to its end."""
    return await one(request, lambda context: controls.show(context, control_id))


@endpoint(router, "DELETE", "/controls/{control_id}", controls.cancel, model=Said)
async def cancel_control(request: Request, control_id: Number) -> Response:
    """Cancel a control that is not finished; what it has done so far stays."""

    def make(context: Context) -> dict[str, str]:
        return {"detail": controls.cancel(context, control_id)}

    return await change(request, make)


@endpoint(router, "GET", "/overflow", overflow.listing, model=PageOf[OverflowRow])
async def list_overflow(
    request: Request,
    cursor: Cursor = None,
    limit: Limit = 100,
    sort: Annotated[Literal["name", "-name", "since", "-since"], ORDER] = "name",
) -> Response:
    """List the sessions that fit on no node and wait, by name."""
    return await page(
        request,
        lambda context, after: overflow.listing(context, after=after, limit=limit, sort=sort),
        cursor,
    )


@endpoint(router, "GET", "/scaling", scaling.listing, model=PageOf[ScalingRow])
async def list_scaling(request: Request, cursor: Cursor = None, limit: Limit = 100) -> Response:
    """List how many nodes the cluster needed and why, the newest first."""
    return await page(
        request,
        lambda context, after: scaling.listing(context, after=after, limit=limit),
        cursor,
    )
