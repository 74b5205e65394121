"""Records: analytics, events, the audit log."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from afx.api.hub import MOST_CLIENTS, TOPICS
from afx.api.replies import change, page, plain
from afx.api.routes.endpoint import ById, Cursor, Hours, Limit, PageOf, endpoint
from afx.api.state import api_of, context_of, token_of
from afx.api.threads import BusyError
from afx.errors import UsageError
from afx.operations import analytics, audit_log, cluster
from afx.operations.analytics import Counts, MetricsRow, WorkerSummary
from afx.operations.audit_log import AuditRow, AuditVerdict
from afx.operations.context import Context
from afx.operations.csv_cells import csv_cell
from afx.operations.pages import Page

router = APIRouter(tags=["records"])
Text = Annotated[str | None, Query(max_length=255)]
Span = Annotated[
    Literal["0", "60", "3600"] | None,
    Query(description="Seconds that a row covers, 0: samples; absent: the coarsest that serves."),
]
_EXPORTED_AT_ONCE = 5_000


class Head(BaseModel):
    """The end of the audit log, as ENTRIES:DIGEST."""

    head: str


@endpoint(router, "GET", "/analytics/workers", analytics.workers, model=list[WorkerSummary])
async def summarise_workers(request: Request, hours: Hours = 1.0) -> Response:
    """Show each node's means, maxima and messages over a time."""
    since = datetime.now(UTC) - timedelta(hours=hours)
    return await plain(request, lambda context: analytics.workers(context, since))


@endpoint(router, "GET", "/analytics/counts", analytics.counts, model=Counts)
async def count_things(request: Request) -> Response:
    """Count sessions by state, rules, and users by tier."""
    kept = api_of(request).kept
    return await plain(request, lambda it: kept.get("counts", lambda: analytics.counts(it)))


@endpoint(router, "GET", "/analytics/series", analytics.series, model=PageOf[MetricsRow])
async def list_metrics(
    request: Request,
    cursor: Cursor = None,
    limit: Limit = 500,
    hours: Hours = 1.0,
    worker: Annotated[str | None, Query(max_length=100)] = None,
    span: Span = None,
) -> Response:
    """List nodes' metrics over a time, in its order."""
    since = datetime.now(UTC) - timedelta(hours=hours)
    return await page(
        request,
        lambda context, after: analytics.series(
            context,
            since,
            after=after,
            limit=limit,
            worker=worker,
            span=int(span) if span is not None else None,
        ),
        cursor,
    )


@endpoint(router, "GET", "/analytics/export", analytics.export, media="text/csv")
async def export_metrics(
    request: Request,
    hours: Hours = 1.0,
    worker: Annotated[str | None, Query(max_length=100)] = None,
    span: Span = None,
) -> Response:
    """Return nodes' metrics over a time as CSV; no cell is a formula, whatever a node is called."""
    context, threads = context_of(request), api_of(request).threads
    since = datetime.now(UTC) - timedelta(hours=hours)
    seconds = int(span) if span is not None else None

    def rows(after: datetime | None) -> Page[MetricsRow]:
        return analytics.series(
            context, since, after=after, limit=_EXPORTED_AT_ONCE, worker=worker, span=seconds
        )

    # Before the answer begins: a mistake is a problem, and no file that breaks off.
    first = await threads.long(lambda: rows(None))

    async def parts() -> AsyncIterator[str]:
        page, names = first, [it.name for it in fields(MetricsRow)]
        yield _csv([names])
        while True:
            yield _csv([csv_cell(getattr(row, it)) for it in names] for row in page.rows)
            if page.next is None:
                return
            page = await threads.long(partial(rows, page.next))

    headers = {"content-disposition": 'attachment; filename="afx-analytics.csv"'}
    return StreamingResponse(parts(), media_type="text/csv", headers=headers)


def _csv(rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


@endpoint(router, "GET", "/events", cluster.recent_events, model=list[dict[str, Any]])
async def watch_events(
    request: Request,
    limit: Limit = 100,
    topics: Annotated[
        str, Query(max_length=100, description=f"Of a stream: {','.join(TOPICS)}; empty: all.")
    ] = "",
) -> Response:
    """List the last events; with `Accept: text/event-stream`, follow them as they happen.

    A stream goes on after `Last-Event-ID`; `resync` says that something was missed and
    everything is to be read again.
    """
    chosen = frozenset(topics.split(",")) if topics else frozenset(TOPICS)
    if unknown := chosen - set(TOPICS):
        raise UsageError(f"There is no topic {sorted(unknown)[0][:20]!r}; use {', '.join(TOPICS)}.")
    if "text/event-stream" not in request.headers.get("accept", ""):
        return await plain(request, lambda context: cluster.recent_events(context, limit))
    hub = api_of(request).hub
    if hub.clients >= MOST_CLIENTS:
        raise BusyError("Too many clients follow the events; try again later.")
    token, sign_in = token_of(request), getattr(request.state, "sign_in", None)
    holds = partial(api_of(request).credentials.hold, token, sign_in)
    return StreamingResponse(
        hub.stream(chosen, request.headers.get("last-event-id", ""), holds),
        media_type="text/event-stream",
        headers={"x-accel-buffering": "no"},
    )


@endpoint(router, "GET", "/audit", audit_log.listing, model=PageOf[AuditRow])
async def list_audit(
    request: Request,
    cursor: Cursor = None,
    limit: Limit = 100,
    actor: Text = None,
    action: Text = None,
    target: Text = None,
    sort: ById = "-id",
) -> Response:
    """List entries of the audit log, the newest first; `action` may be a beginning."""
    return await page(
        request,
        lambda context, after: audit_log.listing(
            context, after=after, limit=limit, actor=actor, action=action, target=target, sort=sort
        ),
        cursor,
    )


@endpoint(router, "GET", "/audit/verification", audit_log.verify, model=AuditVerdict)
async def verify_audit(
    request: Request,
    head: Annotated[str, Query(max_length=100, description="ENTRIES:DIGEST of before.")] = "",
) -> Response:
    """Check that no entry of the audit log was changed, removed, moved or cut off."""
    return await plain(
        request, lambda context: audit_log.verify(context, head=head), takes_long=True
    )


@endpoint(router, "POST", "/audit/accept", audit_log.accept, model=Head)
async def accept_audit(request: Request) -> Response:
    """Accept a log that does not go on from the noted head; needs a reason."""

    def make(context: Context) -> dict[str, str]:
        return {"head": audit_log.accept(context)}

    return await change(request, make)
