"""Webhooks: URLs that are told of events, and what came of it."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from afx.api.replies import change, one, page
from afx.api.routes.controls import Said
from afx.api.routes.endpoint import Body, Cursor, Limit, Name, Number, PageOf, endpoint
from afx.operations import webhooks
from afx.operations.context import Context
from afx.operations.webhooks import DeliveryRow, IssuedSecret, WebhookRow

router = APIRouter(tags=["webhooks"])
Kind = Annotated[str, Field(max_length=50)]


class NewWebhook(Body):
    """A webhook to be added."""

    name: str = Field(min_length=1, max_length=100, examples=["pager"])
    url: str = Field(
        min_length=1,
        max_length=500,
        description="A public address, unless the setting webhook_networks allows others.",
        examples=["https://example.org/afx"],
    )
    kinds: list[Kind] = Field(
        default_factory=list,
        max_length=20,
        description=f"Of {', '.join(webhooks.KINDS)}; none: all.",
        examples=[["worker.lost"]],
    )
    owner: str = Field("", max_length=100, description="A user, of whose sessions alone it hears.")


class Queued(BaseModel):
    """A delivery that the leader sends next."""

    delivery: int


@endpoint(router, "GET", "/webhooks", webhooks.listing, model=PageOf[WebhookRow])
async def list_webhooks(request: Request, cursor: Cursor = None, limit: Limit = 100) -> Response:
    """List webhooks by name."""
    return await page(
        request, lambda context, after: webhooks.listing(context, after=after, limit=limit), cursor
    )


@endpoint(router, "POST", "/webhooks", webhooks.add, model=IssuedSecret, status=201, keyed=False)
async def add_webhook(request: Request, body: NewWebhook) -> Response:
    """Let a URL be told of events; the answer is the only place where its secret is shown."""

    def make(context: Context) -> IssuedSecret:
        return webhooks.add(context, body.name, body.url, kinds=body.kinds, owner=body.owner)

    return await change(
        request,
        make,
        status=201,
        location=lambda it: f"/api/v1/webhooks/{it.id}",
        keyed=False,
    )


@endpoint(router, "GET", "/webhooks/{name}", webhooks.show, model=WebhookRow, one=True)
async def show_webhook(request: Request, name: Name) -> Response:
    """Show a webhook."""
    return await one(request, lambda context: webhooks.show(context, name))


@endpoint(router, "DELETE", "/webhooks/{name}", webhooks.remove, status=204)
async def remove_webhook(request: Request, name: Name) -> Response:
    """Remove a webhook with its deliveries."""

    def make(context: Context) -> None:
        webhooks.remove(context, name)

    return await change(request, make)


@endpoint(
    router, "POST", "/webhooks/{name}/rotate", webhooks.rotate, model=IssuedSecret, keyed=False
)
async def rotate_webhook(request: Request, name: Name) -> Response:
    """Make a new secret; the old one signs beside it for a day."""
    return await change(request, lambda context: webhooks.rotate(context, name), keyed=False)


@endpoint(router, "POST", "/webhooks/{name}/resume", webhooks.resume, model=Said)
async def resume_webhook(request: Request, name: Name) -> Response:
    """Let a suspended webhook be told of events again."""

    def make(context: Context) -> dict[str, str]:
        return {"detail": f"webhook {webhooks.resume(context, name)} is active"}

    return await change(request, make)


@endpoint(router, "POST", "/webhooks/{name}/test", webhooks.test, model=Queued)
async def test_webhook(request: Request, name: Name) -> Response:
    """Send an event that only tries a webhook."""

    def make(context: Context) -> dict[str, int]:
        return {"delivery": webhooks.test(context, name)}

    return await change(request, make)


@endpoint(
    router, "GET", "/webhooks/{name}/deliveries", webhooks.deliveries, model=PageOf[DeliveryRow]
)
async def list_deliveries(
    request: Request,
    name: Name,
    cursor: Cursor = None,
    limit: Limit = 100,
    state: Literal["waiting", "delivered", "failed"] | None = None,
) -> Response:
    """List what was sent to a webhook, the newest first."""
    return await page(
        request,
        lambda context, after: webhooks.deliveries(
            context, name, after=after, limit=limit, state=state
        ),
        cursor,
    )


@endpoint(
    router,
    "GET",
    "/webhook-deliveries/{delivery_id}",
    webhooks.show_delivery,
    model=DeliveryRow,
    one=True,
)
async def show_delivery(request: Request, delivery_id: Number) -> Response:
    """Show one delivery: how often it was tried, and what came of it."""
    return await one(request, lambda context: webhooks.show_delivery(context, delivery_id))


@endpoint(
    router,
    "POST",
    "/webhook-deliveries/{delivery_id}/redeliver",
    webhooks.redeliver,
    model=Queued,
)
async def redeliver(request: Request, delivery_id: Number) -> Response:
    """Send a delivery again; the receiver knows it by its id."""

    def make(context: Context) -> dict[str, int]:
        return {"delivery": webhooks.redeliver(context, delivery_id).id}

    return await change(request, make)
