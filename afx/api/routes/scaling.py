"""Scaling and the cluster over time: what is recommended, what was, when it will be full."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from afx.api.replies import plain
from afx.api.routes.endpoint import Hours, endpoint
from afx.api.state import api_of
from afx.operations import cluster_analytics, scaling
from afx.operations.cluster_analytics import ClusterRow, ForecastRow, RuleSummary, ScalingSummary
from afx.operations.scaling import ScalingStatus

router = APIRouter(tags=["records"])


@endpoint(router, "GET", "/scaling/recommendation", scaling.status, model=ScalingStatus)
async def show_recommendation(request: Request) -> Response:
    """Show how many nodes there should be, why, and the figures behind it."""
    return await plain(request, scaling.status)


@endpoint(router, "GET", "/analytics/cluster", cluster_analytics.series, model=list[ClusterRow])
async def list_cluster_metrics(request: Request, hours: Hours = 1.0) -> Response:
    """List the cluster's minutes in order; of more than two days, its hours."""
    return await plain(request, lambda context: cluster_analytics.series(context, _since(hours)))


@endpoint(
    router, "GET", "/analytics/forecast", cluster_analytics.forecasts, model=list[ForecastRow]
)
async def forecast_cluster(request: Request, hours: Hours = 14 * 24.0) -> Response:
    """Say when sessions and RAM will fill the nodes, if it goes on as it did."""
    return await plain(request, lambda context: cluster_analytics.forecasts(context, _since(hours)))


@endpoint(
    router, "GET", "/analytics/scaling", cluster_analytics.scaling_summary, model=ScalingSummary
)
async def summarise_scaling(request: Request, hours: Hours = 7 * 24.0) -> Response:
    """Show how often the recommendation changed, and the node-hours that it led to."""
    return await plain(
        request, lambda context: cluster_analytics.scaling_summary(context, _since(hours))
    )


@endpoint(router, "GET", "/analytics/rules", cluster_analytics.rule_summary, model=RuleSummary)
async def summarise_rules(request: Request, hours: Hours = 24.0) -> Response:
    """Count rules, and show which forwarded most: what became of their messages, and when."""
    kept, since = api_of(request).kept, _since(hours)
    return await plain(
        request,
        lambda it: kept.get(f"rules {hours}", lambda: cluster_analytics.rule_summary(it, since)),
    )


def _since(hours: float) -> datetime:
    return datetime.now(UTC) - timedelta(hours=hours)
