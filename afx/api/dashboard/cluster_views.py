"""The views of the whole cluster over time: its analytics, and how many nodes it should have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from afx.api.dashboard.pages import MOST_ROWS, page
from afx.api.dashboard.verdict import Verdict
from afx.api.dashboard.views import rows_of
from afx.errors import UnreachableError
from afx.operations import cluster_analytics, scaling
from afx.operations.cluster_analytics import ClusterRow
from afx.operations.context import Context
from afx.operations.scaling import ScalingStatus

router = APIRouter(include_in_schema=False)
SPANS = {"1h": 1.0, "24h": 24.0, "7d": 168.0, "30d": 720.0}
_TREND = timedelta(days=14)
"""The history that a forecast is made of."""
_LATE_SECONDS = 300.0
"""A recommendation that was not followed for so long is worth a word."""
_GIB = 1024.0**3


@dataclass(slots=True, frozen=True)
class Chart:
    """One chart: its lines have a name in the legend, and one in the data."""

    label: str
    unit: str
    lines: Sequence[tuple[str, str]]
    stepped: bool = False


_NODES = Chart("Nodes", "", (("nodes", "Ready"), ("desired", "Desired")), stepped=True)
CHARTS = (
    Chart("Sessions", "", (("running", "Running"), ("hibernated", "Hibernated"))),
    _NODES,
    Chart("RAM of sessions", "GiB", (("ram", "Used"), ("ram_limit", "Limit"))),
    Chart("Messages a minute", "", (("forwarded", "Forwarded"),)),
    Chart("Sessions that wait for room", "", (("waiting", "Most in a minute"),)),
    Chart("Tasks", "", (("tasks", "Unfinished"), ("failed", "Failed a minute"))),
)
_SERIES: dict[str, Callable[[ClusterRow], float]] = {
    "at": lambda it: it.at.timestamp(),
    "running": lambda it: it.sessions,
    "hibernated": lambda it: it.hibernated,
    "nodes": lambda it: it.nodes,
    "desired": lambda it: it.desired,
    "ram": lambda it: it.ram_used / _GIB,
    "ram_limit": lambda it: it.ram_limit / _GIB,
    "forwarded": lambda it: it.forwarded * 60 / it.span,
    "waiting": lambda it: it.waiting_max,
    "tasks": lambda it: it.tasks_open,
    "failed": lambda it: it.tasks_failed * 60 / it.span,
}


@router.get("/analytics/cluster")
async def show_cluster(request: Request) -> Response:
    """Show the cluster over a time as charts, and when it will be full."""
    span = _span(request, "24h")

    def read(context: Context) -> dict[str, Any]:
        now = datetime.now(UTC)
        rows = cluster_analytics.series(context, now - timedelta(hours=SPANS[span]))
        return {
            "drawn": _drawn(rows, CHARTS),
            "forecasts": cluster_analytics.forecasts(context, now - _TREND),
            "trend_days": _TREND.days,
            "spans": tuple(SPANS),
            "span": span,
        }

    return await page(request, "cluster.html", read)


@router.get("/scaling")
async def list_scaling(request: Request) -> Response:
    """Show how many nodes the cluster needs, and why; then how many it needed before."""
    span = _span(request, "7d")

    def read(context: Context) -> dict[str, Any]:
        found: dict[str, Any] = {"status": None, "verdict": None, "drawn": None, "spans": ()}
        with suppress(UnreachableError):
            status = scaling.status(context)
            found |= {"status": status, "verdict": judge(status)}
        if context.actor.may("analytics:read"):
            since = datetime.now(UTC) - timedelta(hours=SPANS[span])
            found["drawn"] = _drawn(cluster_analytics.series(context, since), (_NODES,))
            found["summary"] = cluster_analytics.scaling_summary(context, since)
            found |= {"spans": tuple(SPANS), "span": span}
        rows = rows_of(
            request, lambda after: scaling.listing(context, after=after, limit=MOST_ROWS)
        )
        return {**found, **rows}

    return await page(request, "scaling.html", read)


def judge(status: ScalingStatus) -> Verdict:
    """Return the recommendation in a sentence, with its tone."""
    text = f"{status.text}." if status.text else ""
    if "_" not in text.partition(" ")[0]:  # a setting's name stays as it is
        text = f"{text[:1].upper()}{text[1:]}"
    if status.is_stale:
        return Verdict("warn", "The recommendation is not current.", text)
    if status.decision == "hold":
        return Verdict("ok", f"{_count(status.current)} ready, {status.desired} needed.", text)
    if status.standing_seconds >= _LATE_SECONDS:
        minutes = round(status.standing_seconds / 60)
        text += f" It has been recommended for {minutes} min, and the nodes have not followed."
    if status.decision == "out":
        more = max(0, status.desired - status.current)
        return Verdict("busy", f"Add {_count(more)}: {status.desired} needed.", text)
    less = max(0, status.current - status.desired)
    return Verdict("busy", f"{_count(less)} can go: {status.desired} needed.", text)


def _drawn(rows: Sequence[ClusterRow], charts: Sequence[Chart]) -> dict[str, Any]:
    names = ["at", *(name for it in charts for name, _ in it.lines)]
    data = {name: [_SERIES[name](row) for row in rows] for name in names}
    return {
        "charts": charts,
        "points": len(rows),
        "latest": {name: values[-1] for name, values in data.items() if values},
        "data": orjson.dumps(data).decode(),
    }


def _span(request: Request, usual: str) -> str:
    chosen = request.query_params.get("span", usual)
    return chosen if chosen in SPANS else usual


def _count(count: int) -> str:
    return f"{count:,} node{'' if count == 1 else 's'}"
