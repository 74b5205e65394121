"""Changes of many sessions: each is a thing of its own, which goes on by itself."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated

from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from afx.api.replies import JSON, change, dumps, one, page
from afx.api.routes.controls import Said
from afx.api.routes.endpoint import Body, ById, Cursor, Limit, Number, PageOf, endpoint
from afx.api.routes.requested import waits_for
from afx.api.routes.sessions import Filter
from afx.api.state import api_of, context_of, token_of
from afx.operations import session_bulk, session_changes
from afx.operations.context import Context
from afx.operations.session_bulk import Verb
from afx.operations.session_changes import ChangeDetail, ChangeRow
from afx.operations.sessions import SessionFilter

router = APIRouter(tags=["sessions"])
_POLL_SECONDS = 0.1


class BulkChange(Body):
    """A change of many sessions: those of a filter, those that are named, or all."""

    verb: Verb = Field(examples=["pause"])
    filter: Filter | None = Field(None, examples=[{"user": "alice", "state": "running"}])
    sessions: list[Annotated[str, Field(max_length=100)]] = Field(
        default_factory=list, max_length=session_bulk.MOST, description="Whole names or ids."
    )
    everything: bool = Field(False, description="All sessions; instead of a filter and of names.")
    node: str = Field("", max_length=100, description="Where moved ones go; empty: anywhere.")
    limit: int = Field(session_bulk.MOST, ge=1, le=session_bulk.MOST)
    after: str | None = Field(
        None, max_length=100, description="The `next` of the change before this one."
    )


@endpoint(router, "GET", "/session-changes", session_changes.listing, model=PageOf[ChangeRow])
async def list_session_changes(
    request: Request, cursor: Cursor = None, limit: Limit = 100, sort: ById = "-id"
) -> Response:
    """List changes of many sessions and how far each has come, the newest first."""
    return await page(
        request,
        lambda context, after: session_changes.listing(
            context, after=after, limit=limit, sort=sort
        ),
        cursor,
    )


@endpoint(
    router,
    "POST",
    "/session-changes",
    session_changes.request,
    model=ChangeDetail,
    status=202,
    waits=True,
)
async def change_sessions(request: Request, body: BulkChange) -> Response:
    """Pause, resume, hibernate, wake, move or remove many sessions; each has its own control.

    It goes on by itself, in steps between which others may change something, and over a
    restart of the API. A dry run says what would come of each.
    """
    token = token_of(request)
    chosen = None if body.filter is None else SessionFilter(**body.filter.model_dump())

    def make(context: Context) -> ChangeDetail:
        plan = session_bulk.plan(
            context,
            body.verb,
            chosen,
            names=body.sessions,
            everything=body.everything,
            node=body.node,
            limit=body.limit,
            after=body.after,
        )
        return session_changes.request(context, plan, token.id)

    response = await change(
        request,
        make,
        status=202,
        location=lambda it: f"/api/v1/session-changes/{it.id}",
        shows_dry_run=True,
    )
    seconds = waits_for(request)
    if response.status_code != 202:
        return response
    api_of(request).changes.ask()
    if seconds is None or not token.actor.may("session:read"):
        return response
    return await _waited(request, response.headers["location"], seconds)


@endpoint(
    router,
    "GET",
    "/session-changes/{change_id}",
    session_changes.show,
    model=ChangeDetail,
    one=True,
)
async def show_session_change(request: Request, change_id: Number) -> Response:
    """Show a change of many sessions, and what came of each session."""
    return await one(request, lambda context: session_changes.show(context, change_id))


@endpoint(router, "DELETE", "/session-changes/{change_id}", session_changes.cancel, model=Said)
async def cancel_session_change(request: Request, change_id: Number) -> Response:
    """Cancel a change that is not finished; what was requested so far stays."""

    def make(context: Context) -> dict[str, str]:
        return {"detail": session_changes.cancel(context, change_id)}

    return await change(request, make)


async def _waited(request: Request, location: str, seconds: float) -> Response:
    until = time.monotonic() + seconds
    context, number = context_of(request), int(location.rpartition("/")[2])
    read = api_of(request).threads.read
    while True:
        found = await read(lambda: session_changes.show(context, number))
        ended = found.state != "running"
        if ended or time.monotonic() >= until:
            return Response(
                dumps(found),
                status_code=200 if ended else 202,
                headers={"location": location, "preference-applied": "wait"},
                media_type=JSON,
            )
        await asyncio.sleep(_POLL_SECONDS)
