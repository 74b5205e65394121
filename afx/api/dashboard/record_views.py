"""The views of records and of this installation: analytics, audit, tokens, doctor."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from afx.api.dashboard.pages import MOST_ROWS, page
from afx.api.dashboard.views import rows_of
from afx.operations import (
    analytics,
    audit_log,
    installation,
    rebalancing,
    rule_figures,
    tokens,
)
from afx.operations.analytics import MetricsRow
from afx.operations.context import Context

router = APIRouter(include_in_schema=False)
SPANS = {"1h": 1.0, "24h": 24.0, "7d": 168.0, "30d": 720.0}
_MOST_POINTS = 5_000


@router.get("/analytics")
async def show_analytics(request: Request) -> Response:
    """Show the nodes' metrics over a time as charts, and their means as a table."""
    chosen = request.query_params.get("span", "1h")
    hours = SPANS.get(chosen, 1.0)
    worker = request.query_params.get("worker") or None

    def read(context: Context) -> dict[str, Any]:
        since = datetime.now(UTC) - timedelta(hours=hours)
        rows = analytics.series(context, since, worker=worker, limit=_MOST_POINTS).rows
        charts = _charts(rows)
        return {
            "summary": analytics.workers(context, since),
            "counts": analytics.counts(context),
            "busiest": rule_figures.busiest(context, since, most=10)
            if context.actor.may("rule:read")
            else [],
            "spans": SPANS,
            "span": chosen,
            "worker": worker,
            "data": orjson.dumps(charts).decode(),
            "points": len(charts["at"]),
        }

    return await page(request, "analytics.html", read)


@router.get("/audit")
async def show_audit(request: Request) -> Response:
    """List the audit log, newest first; with ``verify``, check all of it."""
    query = request.query_params
    verify = query.get("verify") == "true"

    def read(context: Context) -> dict[str, Any]:
        def some(after: Any) -> Any:
            return audit_log.listing(
                context,
                after=after,
                limit=MOST_ROWS,
                actor=query.get("actor") or None,
                action=query.get("action") or None,
                target=query.get("target") or None,
            )

        verdict = audit_log.verify(context) if verify else None
        return {**rows_of(request, some), "verdict": verdict}

    return await page(request, "audit.html", read, takes_long=verify)


@router.get("/tokens")
async def list_tokens(request: Request) -> Response:
    """List tokens: what they grant."""

    def read(context: Context) -> dict[str, Any]:
        found = rows_of(
            request, lambda after: tokens.listing(context, after=after, limit=MOST_ROWS)
        )
        return {**found, "now": datetime.now(UTC)}

    return await page(request, "tokens.html", read)


@router.get("/rebalance")
async def show_rebalance(request: Request) -> Response:
    """Show what the next round of rebalancing would move."""
    return await page(
        request, "rebalance.html", lambda context: {"plan": rebalancing.plan(context)}
    )


@router.get("/doctor")
async def show_doctor(request: Request) -> Response:
    """Check the installation on the machine of the API."""

    def read(context: Context) -> dict[str, Any]:
        settings = installation.settings(context) if context.actor.may("config:read") else []
        return {"findings": installation.examine(context), "settings": settings}

    return await page(request, "doctor.html", read, takes_long=True)


def _charts(rows: tuple[MetricsRow, ...]) -> dict[str, list[Any]]:
    """Return the sums and means of all nodes, by time."""
    by_time: dict[datetime, list[MetricsRow]] = {}
    for it in rows:
        by_time.setdefault(it.at, []).append(it)
    times = sorted(by_time)
    return {
        "at": [it.timestamp() for it in times],
        "forwarded": [sum(row.forwarded for row in by_time[it]) for it in times],
        "sessions": [sum(row.sessions for row in by_time[it]) for it in times],
        "rss": [sum(row.rss for row in by_time[it]) / 1024**2 for it in times],
        "cpu": [100 * sum(row.cpu for row in by_time[it]) / len(by_time[it]) for it in times],
    }
