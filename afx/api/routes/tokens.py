"""Tokens of this API."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from afx.api.replies import JSON, change, dumps, one, page
from afx.api.routes.endpoint import (
    Body,
    Cursor,
    Limit,
    Name,
    PageOf,
    endpoint,
    problems_of,
)
from afx.api.state import api_of, token_of
from afx.operations import tokens
from afx.operations.context import Context
from afx.operations.tokens import IssuedToken, TokenRow

router = APIRouter(tags=["tokens"])
Scope = Annotated[str, Field(max_length=50)]


class NewToken(Body):
    """A token to be made."""

    name: str = Field(min_length=1, max_length=100, examples=["ci"])
    scopes: list[Scope] = Field(min_length=1, max_length=64, examples=[["session:read"]])
    owner: str = Field("", max_length=100, description="A user; empty: no limit.")
    days: float = Field(30.0, gt=0, le=tokens.MOST_DAYS, allow_inf_nan=False)


class Bearer(BaseModel):
    """Who asks."""

    name: str
    scopes: list[str]
    owner: str | None
    expires_at: str


@endpoint(router, "GET", "/tokens", tokens.listing, model=PageOf[TokenRow])
async def list_tokens(request: Request, cursor: Cursor = None, limit: Limit = 100) -> Response:
    """List tokens, also expired and revoked ones, by name."""
    return await page(
        request, lambda context, after: tokens.listing(context, after=after, limit=limit), cursor
    )


@endpoint(router, "POST", "/tokens", tokens.create, model=IssuedToken, status=201, keyed=False)
async def create_token(request: Request, body: NewToken) -> Response:
    """Make a token; the answer is the only place where it is shown."""

    def make(context: Context) -> IssuedToken:
        return tokens.create(
            context, body.name, scopes=body.scopes, owner=body.owner, days=body.days
        )

    return await change(
        request,
        make,
        status=201,
        location=lambda it: f"/api/v1/tokens/{it.id}",
        keyed=False,
    )


@router.get(
    "/api/v1/token",
    operation_id="show_own_token",
    response_model=Bearer,
    responses=problems_of(401, 429, 500),
)
async def show_own_token(request: Request) -> Response:
    """Show what the token of this request grants."""
    token = token_of(request)
    found: dict[str, Any] = {
        "name": token.name,
        "scopes": sorted(token.actor.scopes),
        "owner": token.actor.owner or None,
        "expires_at": token.expires_at,
    }
    return Response(dumps(found), media_type=JSON)


@endpoint(router, "GET", "/tokens/{name}", tokens.show, model=TokenRow, one=True)
async def show_token(request: Request, name: Name) -> Response:
    """Show a token: what it grants, not what it is."""
    return await one(request, lambda context: tokens.show(context, name))


@endpoint(router, "DELETE", "/tokens/{name}", tokens.revoke, status=204)
async def revoke_token(request: Request, name: Name) -> Response:
    """Revoke a token, for good."""

    def make(context: Context) -> None:
        tokens.revoke(context, name)

    response = await change(request, make)
    api_of(request).credentials.forget()
    return response
