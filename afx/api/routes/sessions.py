"""Sessions."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from afx.api.replies import change, one, page, plain, shown
from afx.api.routes.endpoint import Body, ByName, Cursor, Limit, Name, PageOf, endpoint
from afx.api.routes.requested import RequestedModel, request_control
from afx.operations import logins, placing, session_budgets, sessions
from afx.operations.context import Context
from afx.operations.placing import Explanation
from afx.operations.session_budgets import BudgetRow
from afx.operations.sessions import AssignmentRow, SessionDetail, SessionFilter, SessionRow

router = APIRouter(tags=["sessions"])
State = Literal[
    "running",
    "assigned",
    "stopping",
    "waiting",
    "paused",
    "hibernated",
    "quarantined",
    "unplaced",
    "removing",
]
HealthName = Literal["healthy", "limited", "frozen", "needs_login", "banned"]
Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,60}$")]
LabelKey = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,40}$")]
Text = Annotated[str | None, Query(max_length=100)]
_LABEL = r"^[A-Za-z0-9_.-]{1,40}=[A-Za-z0-9_.-]{1,60}$"


class NewSession(Body):
    """A session to be added; its login is stored encrypted and never shown again."""

    name: str = Field(min_length=1, max_length=100, examples=["main"])
    user: str = Field(min_length=1, max_length=100, examples=["alice"])
    login: str = Field(
        min_length=1,
        max_length=1_000,
        description="A session string of Telethon.",
        examples=["1AZWarz…"],
        json_schema_extra={"writeOnly": True, "format": "password"},
    )
    proxy: str = Field(
        "", max_length=100, description="A proxy, through which alone it connects; empty: directly."
    )
    device: dict[str, Any] | None = Field(
        None,
        description="The device that it was signed in with, as the JSON file beside a login "
        "describes it: device_model, and system_version, app_version, lang_code, app_id and "
        "app_hash if they are known; absent: a device of its own.",
        examples=[{"device_model": "Desktop", "system_version": "Windows 11"}],
        json_schema_extra={"writeOnly": True},
    )


class SessionChange(Body):
    """What is to be changed of a session."""

    requires: dict[LabelKey, Label] = Field(
        max_length=20, description="Labels that the node must have.", examples=[{"region": "eu"}]
    )


class Filter(Body):
    """Which sessions; what is absent does not matter."""

    user: str | None = Field(None, max_length=100)
    tier: Literal["premium", "free"] | None = None
    node: str | None = Field(None, max_length=100)
    state: State | None = None
    troubled: bool = False
    prefix: str = Field("", max_length=100, description="How the name begins.")
    label: str | None = Field(None, pattern=_LABEL, description="KEY=VALUE that it requires.")
    health: HealthName | None = None


class Target(Body):
    """Where a session is to run."""

    node: str = Field("", max_length=100, description="A node; empty: any other one.")


@endpoint(router, "GET", "/sessions", sessions.listing, model=PageOf[SessionRow])
async def list_sessions(
    request: Request,
    cursor: Cursor = None,
    limit: Limit = 100,
    user: Text = None,
    tier: Literal["premium", "free"] | None = None,
    node: Text = None,
    state: State | None = None,
    troubled: bool = False,
    prefix: Annotated[str, Query(max_length=100, description="How the name begins.")] = "",
    label: Annotated[
        str | None, Query(pattern=_LABEL, description="KEY=VALUE that it requires of its node.")
    ] = None,
    health: HealthName | None = None,
    sort: ByName = "name",
) -> Response:
    """List sessions with user, node and state, by name."""
    chosen = SessionFilter(user, tier, node, state, troubled, prefix, label, health)
    return await page(
        request,
        lambda context, after: sessions.listing(
            context, chosen, after=after, limit=limit, sort=sort
        ),
        cursor,
    )


@endpoint(router, "POST", "/sessions", sessions.add, model=SessionDetail, status=201)
async def add_session(request: Request, body: NewSession) -> Response:
    """Add a session by its login."""

    def make(context: Context) -> SessionDetail | None:
        device = "" if body.device is None else logins.device_from_text(json.dumps(body.device))
        session_id = sessions.add(
            context, body.name, body.user, body.login, proxy=body.proxy, device=device
        )
        return shown(context, "session:read", lambda it: sessions.show(it, str(session_id)))

    return await change(
        request,
        make,
        status=201,
        location=lambda it: f"/api/v1/sessions/{it.session.id}" if it else "",
    )


@endpoint(router, "GET", "/sessions/{name}", sessions.show, model=SessionDetail, one=True)
async def show_session(request: Request, name: Name) -> Response:
    """Show a session, its rules, and where it ran before."""
    return await one(request, lambda context: sessions.show(context, name))


@endpoint(router, "GET", "/sessions/{name}/assignments", sessions.show, model=list[AssignmentRow])
async def list_assignments(request: Request, name: Name) -> Response:
    """List the last nodes that a session was given to, the newest first."""
    return await plain(request, lambda context: sessions.show(context, name).history)


@endpoint(router, "GET", "/sessions/{name}/budgets", session_budgets.budgets, model=list[BudgetRow])
async def list_budgets(request: Request, name: Name) -> Response:
    """List how many requests of each kind a session's account makes, as its node learnt it."""
    return await plain(request, lambda context: session_budgets.budgets(context, name))


@endpoint(router, "GET", "/sessions/{name}/placement", placing.explain, model=Explanation)
async def explain_placement(request: Request, name: Name) -> Response:
    """Explain why a session is on its node, or why it waits, and what each node would cost."""
    return await plain(request, lambda context: placing.explain(context, name))


@endpoint(
    router, "PATCH", "/sessions/{name}", sessions.require, model=SessionDetail, versioned=True
)
async def change_session(request: Request, name: Name, body: SessionChange) -> Response:
    """Set the labels that a session's node must have."""

    def make(context: Context) -> SessionDetail | None:
        sessions.require(context, name, body.requires)
        return shown(context, "session:read", lambda it: sessions.show(it, name))

    return await change(request, make, versioned=lambda context: sessions.show(context, name))


@endpoint(router, "DELETE", "/sessions/{name}", sessions.remove, model=RequestedModel, waits=True)
async def remove_session(request: Request, name: Name) -> Response:
    """Remove a session with its rules, once no node runs it."""
    return await request_control(request, lambda context: sessions.remove(context, name))


@endpoint(
    router, "POST", "/sessions/{name}/pause", sessions.pause, model=RequestedModel, waits=True
)
async def pause_session(request: Request, name: Name) -> Response:
    """Stop a session; it misses nothing and continues when resumed."""
    return await request_control(request, lambda context: sessions.pause(context, name))


@endpoint(
    router, "POST", "/sessions/{name}/resume", sessions.resume, model=RequestedModel, waits=True
)
async def resume_session(request: Request, name: Name) -> Response:
    """Let a paused session run again; clears its trouble."""
    return await request_control(request, lambda context: sessions.resume(context, name))


@endpoint(
    router,
    "POST",
    "/sessions/{name}/hibernate",
    sessions.hibernate,
    model=RequestedModel,
    waits=True,
)
async def hibernate_session(request: Request, name: Name) -> Response:
    """Let a session hibernate: it wakes from time to time, and misses nothing."""
    return await request_control(request, lambda context: sessions.hibernate(context, name))


@endpoint(router, "POST", "/sessions/{name}/wake", sessions.wake, model=RequestedModel, waits=True)
async def wake_session(request: Request, name: Name) -> Response:
    """Let a session that hibernates run again, and stay awake."""
    return await request_control(request, lambda context: sessions.wake(context, name))


@endpoint(router, "POST", "/sessions/{name}/move", sessions.move, model=RequestedModel, waits=True)
async def move_session(request: Request, name: Name, body: Target) -> Response:
    """Let a session run on another node."""
    return await request_control(request, lambda context: sessions.move(context, name, body.node))
