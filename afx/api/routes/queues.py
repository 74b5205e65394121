"""The queues of tasks."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response

from afx.api.replies import change, one, plain
from afx.api.routes.endpoint import endpoint
from afx.api.routes.tasks import Count
from afx.operations import queues
from afx.operations.context import Context
from afx.operations.queues import QueueRow

router = APIRouter(tags=["queues"])
QueueName = Annotated[
    str, Path(min_length=1, max_length=20, description="premium, high, default or low.")
]


@endpoint(router, "GET", "/queues", queues.listing, model=list[QueueRow])
async def list_queues(request: Request) -> Response:
    """List the queues: how many tasks wait and run, and since when the oldest waits."""
    return await plain(request, queues.listing)


@endpoint(router, "GET", "/queues/{name}", queues.show, model=QueueRow, one=True)
async def show_queue(request: Request, name: QueueName) -> Response:
    """Show one queue."""
    return await one(request, lambda context: queues.show(context, name))


@endpoint(router, "POST", "/queues/{name}/requeue", queues.requeue, model=Count)
async def requeue_tasks(request: Request, name: QueueName) -> Response:
    """Queue the failed tasks of a queue again."""

    def make(context: Context) -> dict[str, int]:
        return {"count": queues.requeue(context, name)}

    return await change(request, make)


@endpoint(router, "POST", "/queues/{name}/purge", queues.purge, model=Count)
async def purge_queue(request: Request, name: QueueName) -> Response:
    """Cancel the tasks of a queue that no node has yet."""

    def make(context: Context) -> dict[str, int]:
        return {"count": queues.purge(context, name)}

    return await change(request, make)
