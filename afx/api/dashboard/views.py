"""The views of what there is now: nodes, sessions, users, overflow."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from afx.api.dashboard.bulk_actions import FILTERS
from afx.api.dashboard.pages import MOST_ROWS, page, without
from afx.api.replies import list_of
from afx.api.state import api_of
from afx.errors import AfxError, UsageError
from afx.operations import (
    analytics,
    cluster,
    controls,
    overflow,
    placing,
    session_budgets,
    sessions,
    users,
    workers,
)
from afx.operations.context import Context
from afx.operations.pages import Page
from afx.operations.sessions import SessionFilter

router = APIRouter(include_in_schema=False)
_OF_A_NODE = 20


def rows_of(
    request: Request, read: Callable[[Any], Page[Any]], *, rows: str = "rows"
) -> dict[str, Any]:
    """Return a page of a list for a template, with the address of the next one.

    A filter, or a cursor, that names nothing leaves the page without rows: ``wrong`` says why.
    """
    cursors, subject = api_of(request).cursors, list_of(request)
    cursor = request.query_params.get("cursor", "")
    try:
        found = read(cursors.open(cursor, subject) if cursor else None)
    except UsageError as error:
        return {rows: (), "more": "", "first": "", "wrong": str(error)}
    more = "" if found.next is None else without(request, cursor=cursors.seal(found.next, subject))
    return {
        rows: found.rows,
        "more": more,
        "first": without(request, "cursor") if cursor else "",
        "wrong": "",
    }


@router.get("/nodes")
async def listactivity(request: Request) -> Response:
    """List the nodes; those in trouble first."""

    def read(context: Context) -> dict[str, Any]:
        views = workers.listing(context)
        wanted = request.query_params.get("state", "")
        rates = {it.name: it.per_second for it in activity(request, context)}
        counts: dict[str, int] = {}
        for it in views:
            counts[it.state] = counts.get(it.state, 0) + 1
        chosen = [it for it in views if not wanted or it.state == wanted]
        chosen.sort(key=lambda it: (it.state == "ready", it.name))
        return {"nodes": chosen, "counts": counts, "wanted": wanted, "rates": rates}

    return await page(request, "nodes.html", read)


@router.get("/nodes/{name}")
async def show_node(request: Request, name: str) -> Response:
    """Show a node: what it reports, its sessions, its controls."""

    def read(context: Context) -> dict[str, Any]:
        found = workers.show(context, name)
        chosen = SessionFilter(node=found.name)
        return {
            "node": found,
            "sessions": sessions.listing(context, chosen, limit=_OF_A_NODE).rows
            if context.actor.may("session:read")
            else (),
            "controls": controls.listing(context, worker=found.name, limit=10).rows
            if context.actor.may("control:read")
            else (),
            "more_sessions": f"/sessions?node={found.name}",
        }

    return await page(request, "node.html", read)


@router.get("/sessions")
async def list_sessions(request: Request) -> Response:
    """List sessions; the filters are in the address."""
    query = request.query_params
    chosen = SessionFilter(
        user=query.get("user") or None,
        tier=query.get("tier") or None,
        node=query.get("node") or None,
        state=query.get("state") or None,
        troubled=query.get("troubled") == "true",
        prefix=query.get("prefix", "")[:100],
        label=query.get("label", "")[:101] or None,
        health=query.get("health") or None,
    )
    parts = [(name, query.get(name, "")) for name in (*FILTERS, "troubled")]
    filtered = urlencode([it for it in parts if it[1]]) if chosen != SessionFilter() else ""

    def read(context: Context) -> dict[str, Any]:
        def some(after: Any) -> Page[Any]:
            return sessions.listing(context, chosen, after=after, limit=MOST_ROWS)

        counts = None
        if not context.actor.owner and context.actor.may("analytics:read"):
            kept = api_of(request).kept
            counts = dict(kept.get("counts", lambda: analytics.counts(context)).by_state)
        states = sessions.STATES
        return {
            **rows_of(request, some),
            "chosen": chosen,
            "counts": counts,
            "states": states,
            "filter": filtered,
        }

    return await page(request, "sessions.html", read)


@router.get("/sessions/{name}")
async def show_session(request: Request, name: str) -> Response:
    """Show a session: where it runs or why it waits, its rules, where it ran before."""

    def read(context: Context) -> dict[str, Any]:
        return {"detail": sessions.show(context, name)}

    return await page(request, "session.html", read)


@router.get("/sessions/{name}/budgets")
async def show_budgets(request: Request, name: str) -> Response:
    """Show how many requests of each kind a session's account makes."""

    def read(context: Context) -> dict[str, Any]:
        row = sessions.show(context, name).session
        budgets = session_budgets.budgets(context, str(row.id))
        return {"name": row.name, "id": row.id, "budgets": budgets}

    return await page(request, "budgets.html", read)


@router.get("/sessions/{name}/placement")
async def show_placement(request: Request, name: str) -> Response:
    """Explain why a session is where it is, or why it waits."""
    return await page(
        request, "placement.html", lambda context: {"found": placing.explain(context, name)}
    )


@router.get("/users")
async def list_users(request: Request) -> Response:
    """List users, or show one who is named in the address."""
    query = request.query_params

    def read(context: Context) -> dict[str, Any]:
        def some(after: Any) -> Page[Any]:
            return users.listing(
                context, after=after, limit=MOST_ROWS, tier=query.get("tier") or None
            )

        return rows_of(request, some)

    return await page(request, "users.html", read)


@router.get("/users/{name}")
async def show_user(request: Request, name: str) -> Response:
    """Show a user with the first sessions."""
    return await page(request, "user.html", lambda context: {"user": users.show(context, name)})


@router.get("/overflow")
async def list_overflow(request: Request) -> Response:
    """List the sessions that wait for room."""

    def read(context: Context) -> dict[str, Any]:
        return rows_of(
            request, lambda after: overflow.listing(context, after=after, limit=MOST_ROWS)
        )

    return await page(request, "overflow.html", read)


def activity(request: Request, context: Context) -> tuple[cluster.NodeActivity, ...]:
    """Return the nodes with their rates: of the stream of events, or without rates now."""
    snapshot = api_of(request).hub.snapshot
    if snapshot is not None and not api_of(request).hub.fault:
        return snapshot.sample.nodes
    with suppress(AfxError):
        return next(iter(cluster.activity(context))).nodes
    return ()
