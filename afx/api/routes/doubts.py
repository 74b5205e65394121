"""Doubts: what senders of rules may have sent, and nothing tells."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from afx.api.replies import change, plain
from afx.api.routes.endpoint import Body, Number, endpoint
from afx.operations import doubts
from afx.operations.doubts import DoubtRow

router = APIRouter(tags=["rules"])


class Decision(Body):
    """What became of doubts of a rule: of all, unless a message or chats are given."""

    sent: int = Field(
        ge=0,
        lt=2**31,
        description="The id of the copy in the destination; 0: it was not sent, and another "
        "sender sends it.",
    )
    message: int | None = Field(
        None, ge=0, lt=2**31, description="Only this message; 0: those that are not known."
    )
    source: int | None = Field(
        None, gt=-(2**53), lt=2**53, description="Only of this source, by its marked id."
    )
    destination: int | None = Field(
        None, gt=-(2**53), lt=2**53, description="Only in this destination, by its marked id."
    )


@endpoint(router, "GET", "/rules/{rule_id:number}/doubts", doubts.listing, model=list[DoubtRow])
async def list_doubts(request: Request, rule_id: Number) -> Response:
    """List what a sender of a rule may have sent, without an answer: its lane waits for it."""
    return await plain(request, lambda context: doubts.listing(context, str(rule_id)))


@endpoint(
    router, "POST", "/rules/{rule_id:number}/doubts/decide", doubts.decide, model=list[DoubtRow]
)
async def decide_doubts(request: Request, rule_id: Number, body: Decision) -> Response:
    """Decide whether messages were sent; look for their copies in the destination first.

    A dry run says which are meant.
    """
    return await change(
        request,
        lambda context: doubts.decide(
            context,
            str(rule_id),
            sent=body.sent,
            message=body.message,
            source=body.source,
            destination=body.destination,
        ),
        shows_dry_run=True,
    )
