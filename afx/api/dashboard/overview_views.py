"""The first page: the cluster in a sentence, its figures, its nodes, what needs a person."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from afx.api.dashboard.pages import MOST_ROWS, page
from afx.api.dashboard.verdict import judge
from afx.api.dashboard.views import activity
from afx.api.state import api_of
from afx.operations import cluster, cluster_analytics, coordinators, sessions
from afx.operations.context import Context
from afx.operations.sessions import SessionFilter

router = APIRouter(include_in_schema=False)
_EVENTS = 8
_EVENTS_READ = 200
_NO_NEWS = "controls"
"""The kind of event that says no more than that a page is to be refreshed."""
_TROUBLED = 6
_LATELY = timedelta(hours=1)
_KEPT_SECONDS = 10.0
_FULL = 0.85
"""The load from which a node is shown as full."""


@router.get("/")
async def show_overview(request: Request) -> Response:
    """Show the cluster: a sentence first, then figures, nodes, what needs a person."""

    def read(context: Context) -> dict[str, Any]:
        if context.actor.owner:
            rows = sessions.listing(context, limit=MOST_ROWS).rows
            return {"status": None, "mine": rows}
        context.require("cluster:read")
        kept = api_of(request).kept
        status = kept.get("status", lambda: cluster.status(context))
        nodes = sorted(activity(request, context), key=_trouble_first)
        recent = cluster.recent_events(context, _EVENTS_READ)
        troubled = sessions.listing(context, SessionFilter(troubled=True), limit=_TROUBLED).rows
        return {
            "status": status,
            "verdict": judge(status),
            "nodes": nodes,
            "troubled": troubled if context.actor.may("session:read") else (),
            "events": [it for it in recent if it.get("kind") != _NO_NEWS][:_EVENTS],
            **_messages(request, context),
            "standbys": kept.get("coordinators", lambda: coordinators.status(context)).standbys
            if context.actor.may("coordinator:read")
            else None,
            "rate": sum(it.per_second for it in nodes if it.live),
        }

    return await page(request, "overview.html", read)


def _messages(request: Request, context: Context) -> dict[str, Any]:
    """Return what became of messages and tasks in the last hour."""
    if not context.actor.may("analytics:read"):
        return {"figures": None, "failed_tasks": 0}
    kept, since = api_of(request).kept, datetime.now(UTC) - _LATELY

    def read() -> tuple[Any, int]:
        rows = cluster_analytics.series(context, since)
        failed = sum(it.tasks_failed for it in rows)
        return cluster_analytics.messages(context, since), failed

    # They are sums of an hour: who has just changed something does not look for it here.
    figures, failed = kept.get("lately", read, least=_KEPT_SECONDS, until_changed=False)
    return {"figures": figures, "failed_tasks": failed}


def _trouble_first(it: cluster.NodeActivity) -> tuple[int, str]:
    """Return the order of the fleet: by names, so that none moves when its load changes a bit."""
    if not it.live:
        return 4, it.name
    if it.state != "ready":
        return 0 if it.state == "fenced" else 1, it.name
    return 2 if it.load >= _FULL else 3, it.name
