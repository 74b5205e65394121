"""Held messages: what waits until an operator approves it."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from afx.api.replies import change, page, plain
from afx.api.routes.endpoint import Body, Cursor, Limit, Number, PageOf, endpoint
from afx.operations import reviews
from afx.operations.context import Context
from afx.operations.reviews import Decision, HeldCount, HeldRow

router = APIRouter(tags=["reviews"])
OfRule = Annotated[
    str | None,
    Query(min_length=1, max_length=201, description="An id, or SESSION/NAME: only of this rule."),
]
OfState = Annotated[
    Literal["held", "approved", "released", "rejected", "expired", "deleted"] | None,
    Query(description="Only those of this state; those that are held without it."),
]


class Messages(Body):
    """Which held messages of a rule: all, unless ids are given."""

    ids: list[Annotated[int, Field(ge=1, lt=2**31)]] = Field(
        default_factory=list, max_length=1_000, description="Ids of held messages."
    )
    until: int | None = Field(
        None,
        ge=0,
        lt=2**53,
        description="Microseconds since 1970: what has a newer `changed_at` is left out. Give the "
        "newest one that was seen, so that nothing is meant that was not seen.",
    )


@endpoint(router, "GET", "/held-messages", reviews.listing, model=PageOf[HeldRow])
async def list_held_messages(
    request: Request,
    cursor: Cursor = None,
    limit: Limit = 100,
    rule: OfRule = None,
    state: OfState = None,
) -> Response:
    """List what waits for an approval, with the text that would be sent."""
    return await page(
        request,
        lambda context, after: reviews.listing(
            context, after=after, limit=limit, rule=rule, state=state or "held"
        ),
        cursor,
    )


@endpoint(router, "GET", "/held-messages/counts", reviews.counts, model=list[HeldCount])
async def count_held_messages(request: Request, rule: OfRule = None) -> Response:
    """Count what waits for an approval, and what was decided lately, by rule and state."""
    return await plain(request, lambda context: reviews.counts(context, rule=rule))


@endpoint(router, "GET", "/held-messages/{held_id:number}", reviews.show, model=HeldRow)
async def show_held_message(request: Request, held_id: Number) -> Response:
    """Show one held message as it would be sent."""
    return await plain(request, lambda context: reviews.show(context, held_id))


@endpoint(
    router,
    "POST",
    "/rules/{rule_id:number}/held-messages/approve",
    reviews.approve,
    model=Decision,
    status=202,
)
async def approve_held_messages(request: Request, rule_id: Number, body: Messages) -> Response:
    """Let held messages of a rule be sent; it takes the scope `task:write` as well.

    One request is about a thousand messages at most: `left` says that more of the rule waits.
    """

    def make(context: Context) -> Decision:
        return reviews.approve(context, str(rule_id), ids=body.ids, until=body.until)

    return await change(
        request,
        make,
        status=202,
        location=lambda it: f"/api/v1/tasks/{it.tasks[0]}" if it.tasks else "",
        shows_dry_run=True,
    )


@endpoint(
    router,
    "POST",
    "/rules/{rule_id:number}/held-messages/reject",
    reviews.reject,
    model=Decision,
)
async def reject_held_messages(request: Request, rule_id: Number, body: Messages) -> Response:
    """Let held messages of a rule never be sent."""

    def make(context: Context) -> Decision:
        return reviews.reject(context, str(rule_id), ids=body.ids, until=body.until)

    return await change(request, make, shows_dry_run=True)
