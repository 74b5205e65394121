"""Users."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from afx.api.replies import change, one, page, shown
from afx.api.routes.endpoint import Body, ByName, Cursor, Limit, Name, PageOf, endpoint
from afx.api.state import api_of
from afx.operations import users
from afx.operations.context import Context
from afx.operations.pages import Page
from afx.operations.users import UserDetail, UserRow

router = APIRouter(tags=["users"])
Tier = Literal["premium", "free"]


class NewUser(Body):
    """A user to be added."""

    name: str = Field(min_length=1, max_length=100, examples=["alice"])
    tier: Tier = "free"


class UserChange(Body):
    """What is to be changed of a user; what is absent stays."""

    tier: Tier | None = None
    task_share: int | None = Field(
        None, ge=1, le=100, description="Tasks that run for each one of a user with share 1."
    )
    task_limit: int | None = Field(
        None, ge=0, lt=2**31, description="Unfinished tasks at most; 0: as many as others."
    )


@endpoint(router, "GET", "/users", users.listing, model=PageOf[UserRow])
async def list_users(
    request: Request,
    cursor: Cursor = None,
    limit: Limit = 100,
    tier: Tier | None = None,
    sort: ByName = "name",
) -> Response:
    """List users with their number of sessions, by name."""
    kept = api_of(request).kept

    def read(context: Context, after: Any) -> Page[UserRow]:
        # Counting the sessions of each user takes its time.
        return kept.get(
            f"users {limit} {tier} {sort} {after}",
            lambda: users.listing(context, after=after, limit=limit, tier=tier, sort=sort),
        )

    return await page(request, read, cursor)


@endpoint(router, "POST", "/users", users.add, model=UserDetail, status=201)
async def add_user(request: Request, body: NewUser) -> Response:
    """Add a user."""

    def make(context: Context) -> UserDetail | None:
        users.add(context, body.name, body.tier)
        return shown(context, "user:read", lambda it: users.show(it, body.name))

    return await change(
        request, make, status=201, location=lambda it: f"/api/v1/users/{it.id}" if it else ""
    )


@endpoint(router, "GET", "/users/{name}", users.show, model=UserDetail, one=True)
async def show_user(request: Request, name: Name) -> Response:
    """Show a user, with the first sessions."""
    return await one(request, lambda context: users.show(context, name))


@endpoint(router, "PATCH", "/users/{name}", users.alter, model=UserDetail, versioned=True)
async def change_user(request: Request, name: Name, body: UserChange) -> Response:
    """Change a user's tier, its share of the queues of tasks, or how many tasks it may have.

    A tier takes effect with the next placement.
    """

    def make(context: Context) -> UserDetail | None:
        users.alter(context, name, tier=body.tier, share=body.task_share, limit=body.task_limit)
        return shown(context, "user:read", lambda it: users.show(it, name))

    return await change(request, make, versioned=lambda context: users.show(context, name))


@endpoint(router, "DELETE", "/users/{name}", users.remove, status=204, versioned=True)
async def remove_user(request: Request, name: Name) -> Response:
    """Remove a user who owns no session."""

    def make(context: Context) -> None:
        users.remove(context, name)

    return await change(request, make, versioned=lambda context: users.show(context, name))
