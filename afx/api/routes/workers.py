"""Worker nodes, coordinators, and moving sessions between nodes."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from afx.api.replies import change, one, plain
from afx.api.routes.endpoint import Body, Name, endpoint
from afx.api.routes.requested import RequestedModel, request_control
from afx.api.state import api_of
from afx.operations import coordinators, placing, rebalancing, workers
from afx.operations.coordinators import CoordinatorStatus
from afx.operations.placing import DrainPreview
from afx.operations.rebalancing import RebalancePlan
from afx.operations.requests import together

router = APIRouter(tags=["workers"])
Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,40}=[A-Za-z0-9_.-]{1,60}$")]


class Recycle(Body):
    """How a node is restarted."""

    forced: bool = Field(False, description="At once: its sessions stop and restart.")
    in_place: bool = Field(
        False, description="A new host process on the same node takes over its sessions."
    )


@endpoint(router, "GET", "/workers", workers.listing, model=list[workers.WorkerView])
async def list_workers(
    request: Request,
    label: Annotated[
        list[Label] | None,
        Query(max_length=20, description="KEY=VALUE that a node has; several: all of them."),
    ] = None,
) -> Response:
    """List the nodes that the cluster knows, by name."""
    kept = api_of(request).kept
    if label:
        labels = dict(it.split("=", 1) for it in label)
        return await plain(request, lambda context: workers.listing(context, labels))
    return await plain(request, lambda it: kept.get("workers", lambda: workers.listing(it)))


@endpoint(router, "GET", "/workers/{name}", workers.show, model=workers.WorkerDetail)
async def show_worker(request: Request, name: Name) -> Response:
    """Show a node: its report, its desired state, its open controls."""
    return await one(request, lambda context: workers.show(context, name))


@endpoint(
    router, "POST", "/workers/{name}/cordon", workers.cordon, model=RequestedModel, waits=True
)
async def cordon_worker(request: Request, name: Name) -> Response:
    """Let a node get no more sessions."""
    return await request_control(request, lambda context: together(workers.cordon(context, [name])))


@endpoint(
    router, "POST", "/workers/{name}/uncordon", workers.uncordon, model=RequestedModel, waits=True
)
async def uncordon_worker(request: Request, name: Name) -> Response:
    """Let a node get sessions again; ends a drain."""
    return await request_control(
        request, lambda context: together(workers.uncordon(context, [name]))
    )


@endpoint(router, "POST", "/workers/{name}/drain", workers.drain, model=RequestedModel, waits=True)
async def drain_worker(request: Request, name: Name) -> Response:
    """Move all sessions of a node to others; it stays cordoned."""
    return await request_control(request, lambda context: together(workers.drain(context, [name])))


@endpoint(router, "GET", "/workers/{name}/drain-preview", placing.preview_drain, model=DrainPreview)
async def preview_drain(request: Request, name: Name) -> Response:
    """Show where the sessions of a node would go if it was drained now, and which find no room."""
    return await plain(request, lambda context: placing.preview_drain(context, name))


@endpoint(
    router, "POST", "/workers/{name}/recycle", workers.recycle, model=RequestedModel, waits=True
)
async def recycle_worker(request: Request, name: Name, body: Recycle) -> Response:
    """Empty a node, restart it, and let it get sessions again."""
    return await request_control(
        request,
        lambda context: workers.recycle(context, name, forced=body.forced, in_place=body.in_place),
    )


@endpoint(router, "POST", "/workers/{name}/stop", workers.stop, model=RequestedModel, waits=True)
async def stop_worker(request: Request, name: Name) -> Response:
    """Let a node stop its sessions and end; other nodes take over."""
    return await request_control(request, lambda context: together(workers.stop(context, [name])))


@endpoint(router, "DELETE", "/workers/{name}", workers.remove, model=RequestedModel, waits=True)
async def remove_worker(request: Request, name: Name) -> Response:
    """Remove a node that has stopped."""
    return await request_control(request, lambda context: together(workers.remove(context, [name])))


@endpoint(router, "GET", "/coordinators", coordinators.status, model=CoordinatorStatus)
async def show_coordinators(request: Request) -> Response:
    """Show which coordinator leads, and since which term."""
    return await plain(request, coordinators.status)


@endpoint(
    router,
    "POST",
    "/coordinators/recycle",
    coordinators.recycle,
    model=RequestedModel,
    waits=True,
)
async def recycle_coordinators(request: Request) -> Response:
    """Restart all coordinators: standbys first, then the leader."""
    return await request_control(request, coordinators.recycle)


@endpoint(router, "GET", "/rebalance-plan", rebalancing.plan, model=RebalancePlan)
async def show_rebalance_plan(request: Request) -> Response:
    """Show what the next round of rebalancing would move."""
    return await plain(request, rebalancing.plan)


@endpoint(router, "POST", "/rebalance-plan/apply", rebalancing.apply, model=RebalancePlan)
async def apply_rebalance_plan(request: Request) -> Response:
    """Request the moves of the plan; returns those that were requested."""
    return await change(request, rebalancing.apply)
