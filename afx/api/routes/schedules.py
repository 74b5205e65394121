"""Schedules of tasks."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from afx.api.replies import change, page
from afx.api.routes.controls import Said
from afx.api.routes.endpoint import Cursor, Limit, PageOf, endpoint
from afx.api.routes.tasks import Chosen
from afx.operations import schedules
from afx.operations.context import Context
from afx.operations.schedules import ScheduleRow
from afx.operations.task_requests import TaskRequest

router = APIRouter(tags=["schedules"])
Name = Annotated[str, Path(min_length=1, max_length=100, description="The whole name.")]
_OWN = ("name", "cron", "overlap", "catch_up", "pause_after")


class NewSchedule(Chosen):
    """A task that is to be submitted again and again."""

    name: str = Field(min_length=1, max_length=100, examples=["nightly"])
    cron: str = Field(
        min_length=1, max_length=100, description="Five fields, in UTC.", examples=["0 3 * * *"]
    )
    overlap: Literal["skip", "queue", "replace"] = Field(
        "skip", description="When the last ones still run."
    )
    catch_up: Literal["skip", "once"] = Field("skip", description="After an outage.")
    pause_after: int = Field(
        0, ge=0, lt=2**31, description="Pause after so many failures in a row; 0: never."
    )


class Added(BaseModel):
    """A schedule that was added, and its first time."""

    name: str
    next_at: datetime


@endpoint(router, "GET", "/schedules", schedules.listing, model=PageOf[ScheduleRow])
async def list_schedules(request: Request, cursor: Cursor = None, limit: Limit = 100) -> Response:
    """List the schedules by name."""
    return await page(
        request,
        lambda context, after: schedules.listing(context, after=after, limit=limit),
        cursor,
    )


@endpoint(router, "POST", "/schedules", schedules.add, model=Added, status=201)
async def add_schedule(request: Request, body: NewSchedule) -> Response:
    """Submit a task again and again, at the times of a cron expression."""

    def make(context: Context) -> dict[str, Any]:
        given = body.model_dump()
        own = {name: given.pop(name) for name in _OWN}
        name, cron = own.pop("name"), own.pop("cron")
        first = schedules.add(context, name, cron, TaskRequest(**given), **own)
        return {"name": name, "next_at": first}

    return await change(request, make, status=201)


@endpoint(router, "DELETE", "/schedules/{name}", schedules.remove, status=204)
async def remove_schedule(request: Request, name: Name) -> Response:
    """Remove a schedule; the tasks that it has submitted stay."""

    def make(context: Context) -> None:
        schedules.remove(context, name)

    return await change(request, make)


@endpoint(router, "POST", "/schedules/{name}/pause", schedules.set_paused, model=Said)
async def pause_schedule(request: Request, name: Name) -> Response:
    """Pause a schedule."""

    def make(context: Context) -> dict[str, str]:
        return {"detail": f"schedule {schedules.set_paused(context, name, True)} is paused"}

    return await change(request, make)


@endpoint(router, "POST", "/schedules/{name}/resume", schedules.set_paused, model=Said)
async def resume_schedule(request: Request, name: Name) -> Response:
    """Let a paused schedule go on at its next time."""

    def make(context: Context) -> dict[str, str]:
        return {"detail": f"schedule {schedules.set_paused(context, name, False)} goes on"}

    return await change(request, make)
