"""The cluster and this installation as a whole; health, and metrics."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from afx.api.metrics import rendered
from afx.api.replies import JSON, dumps, plain
from afx.api.routes.endpoint import endpoint, problems_of
from afx.api.state import api_of, context_of
from afx.errors import AfxError
from afx.operations import cluster, databases, installation, search
from afx.operations.cluster import ClusterStatus
from afx.operations.databases import DatabaseStatus
from afx.operations.findings import Finding
from afx.operations.search import Found

router = APIRouter(tags=["system"])
READY_SECONDS = 2.0


class Setting(BaseModel):
    """One setting."""

    name: str
    value: Any
    source: str
    what: str


class Health(BaseModel):
    """Whether it works."""

    ok: bool
    detail: str = ""


@endpoint(router, "GET", "/status", cluster.status, model=ClusterStatus)
async def show_status(request: Request) -> Response:
    """Show the cluster in a few figures."""
    kept = api_of(request).kept
    return await plain(request, lambda it: kept.get("status", lambda: cluster.status(it)))


@endpoint(router, "GET", "/doctor", installation.examine, model=list[Finding])
async def examine_installation(request: Request) -> Response:
    """Check the installation on the machine of the API; each finding has its remedy."""
    return await plain(request, installation.examine, takes_long=True)


@endpoint(router, "GET", "/config", installation.settings, model=list[Setting])
async def list_settings(request: Request) -> Response:
    """List the settings of the API's process; secrets are hidden."""
    return await plain(request, installation.settings)


@endpoint(router, "GET", "/database", databases.status, model=DatabaseStatus)
async def show_database(request: Request) -> Response:
    """Show which migrations the database has."""
    return await plain(request, databases.status)


@router.get(
    "/api/v1/search",
    operation_id="search",
    response_model=list[Found],
    responses=problems_of(401, 422, 429, 500, 503),
)
async def find(
    request: Request, q: Annotated[str, Query(min_length=1, max_length=100)]
) -> Response:
    """Find sessions, nodes, users and rules by the beginning of their names.

    Only kinds that the token may read.
    """
    return await plain(request, lambda context: search.find(context, q))


@router.get("/healthz", operation_id="show_health", response_model=Health)
async def show_health() -> Response:
    """Tell that this process answers."""
    return Response(dumps({"ok": True, "detail": ""}), media_type=JSON)


@router.get(
    "/readyz",
    operation_id="show_readiness",
    response_model=Health,
    responses={503: {"description": "A server is away.", "model": Health}},
)
async def show_readiness(request: Request) -> Response:
    """Tell whether the database and Redis answer."""
    try:
        await api_of(request).hub.recent(READY_SECONDS)
    except AfxError:
        # Who asks has no token: where the servers are is not said.
        found = {"ok": False, "detail": "the database or Redis does not answer"}
        return Response(dumps(found), 503, media_type=JSON)
    return Response(dumps({"ok": True, "detail": ""}), media_type=JSON)


@router.get(
    "/metrics",
    operation_id="show_metrics",
    response_class=Response,
    responses={
        200: {"description": "The metrics.", "content": {"text/plain; version=0.0.4": {}}},
        **problems_of(401, 403, 429, 500, 503),
    },
)
async def show_metrics(request: Request) -> Response:
    """Return metrics in Prometheus's text format; needs the scope `cluster:read`."""
    context_of(request).require("cluster:read")
    return Response(await rendered(api_of(request)), media_type="text/plain; version=0.0.4")
