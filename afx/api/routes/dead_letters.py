"""Dead letters: what rules could not deliver."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from afx.api.replies import change, page, plain
from afx.api.routes.endpoint import ORDER, Body, Cursor, Limit, Number, PageOf, endpoint
from afx.operations import dead_letters
from afx.operations.context import Context
from afx.operations.dead_letters import Chosen, DeadCount, DeadReason, DeadRow

router = APIRouter(tags=["dead letters"])
OfRule = Annotated[
    str | None,
    Query(min_length=1, max_length=201, description="An id, or SESSION/NAME: only of this rule."),
]


class Which(Body):
    """Which dead letters of a rule: all, unless ids or a reason are given."""

    ids: list[Annotated[int, Field(ge=1, lt=2**31)]] = Field(
        default_factory=list, max_length=1_000, description="Ids of rows."
    )
    reason: Annotated[DeadReason, Field(strict=False)] | None = Field(
        None, description="Only those of this reason.", examples=["destination_closed"]
    )
    until: int | None = Field(
        None,
        ge=0,
        lt=2**53,
        description="Microseconds since 1970: rows with a newer `last_at` are left out. Give the "
        "newest one that was seen, so that nothing is meant that has come since.",
    )


class Retried(BaseModel):
    """How many messages are tried again, and the tasks that do so."""

    messages: int
    tasks: list[int]


class Dropped(BaseModel):
    """How many messages are never delivered."""

    messages: int


@endpoint(router, "GET", "/dead-letters", dead_letters.listing, model=PageOf[DeadRow])
async def list_dead_letters(
    request: Request,
    cursor: Cursor = None,
    limit: Limit = 100,
    rule: OfRule = None,
    reason: DeadReason | None = None,
    sort: Annotated[Literal["id", "-id", "last_at", "-last_at"], ORDER] = "id",
) -> Response:
    """List what could not be delivered: up to 256 neighbouring messages of a route in each row."""
    return await page(
        request,
        lambda context, after: dead_letters.listing(
            context, after=after, limit=limit, rule=rule, reason=reason, sort=sort
        ),
        cursor,
    )


@endpoint(router, "GET", "/dead-letters/counts", dead_letters.counts, model=list[DeadCount])
async def count_dead_letters(request: Request, rule: OfRule = None) -> Response:
    """Count what could not be delivered, by rule and reason."""
    return await plain(request, lambda context: dead_letters.counts(context, rule=rule))


@endpoint(
    router,
    "POST",
    "/rules/{rule_id:number}/dead-letters/retry",
    dead_letters.retry,
    model=Retried,
    status=202,
)
async def retry_dead_letters(request: Request, rule_id: Number, body: Which) -> Response:
    """Send dead letters of a rule once more; it takes the scope `task:write` as well.

    A row leaves when its messages wait for their destination. A dry run says how many there are.
    """

    def make(context: Context) -> dict[str, Any]:
        chosen = _chosen(context, rule_id, body)
        tasks = dead_letters.retry(context, chosen)
        return {"messages": chosen.messages, "tasks": [] if context.dry_run else tasks}

    return await change(
        request,
        make,
        status=202,
        location=lambda it: f"/api/v1/tasks/{it['tasks'][0]}" if it["tasks"] else "",
        shows_dry_run=True,
    )


@endpoint(
    router,
    "POST",
    "/rules/{rule_id:number}/dead-letters/drop",
    dead_letters.drop,
    model=Dropped,
)
async def drop_dead_letters(request: Request, rule_id: Number, body: Which) -> Response:
    """Delete dead letters of a rule: they are never delivered.

    A dry run says how many there are.
    """

    def make(context: Context) -> dict[str, int]:
        return {"messages": dead_letters.drop(context, _chosen(context, rule_id, body))}

    return await change(request, make, shows_dry_run=True)


def _chosen(context: Context, rule_id: int, body: Which) -> Chosen:
    return dead_letters.choose_for_change(
        context, str(rule_id), ids=body.ids, reason=body.reason, until=body.until
    )
