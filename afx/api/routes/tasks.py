"""Tasks, their kinds, and how long they take."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Path, Query
from pydantic import AfterValidator, BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from afx.api.replies import JSON, change, dumps, one, page, plain
from afx.api.routes.controls import Said
from afx.api.routes.endpoint import Body, ById, Cursor, Limit, Number, PageOf, endpoint
from afx.api.routes.requested import waits_for
from afx.api.state import api_of, context_of
from afx.operations import task_requests, task_times, tasks
from afx.operations.context import Context
from afx.operations.task_requests import TaskRequest
from afx.operations.task_times import TimesRow
from afx.operations.tasks import KindRow, Step, TaskDetail, TaskRow

router = APIRouter(tags=["tasks"])
_POLL_SECONDS = 0.2
_LONGEST_DELAY_SECONDS = 400 * 24 * 3600.0
_FINISHED = ("succeeded", "failed", "cancelled")
State = Literal[
    "waiting", "queued", "published", "running", "succeeded", "failed", "cancelled", "paused"
]
Priority = Literal["", "premium", "high", "default", "low"]
Kind = Annotated[str, Field(min_length=1, max_length=100, examples=["session.check"])]
SessionName = Annotated[str, Field(min_length=1, max_length=100)]
KindName = Annotated[str, Path(min_length=1, max_length=100, description="Of a kind of task.")]


def _plain_json(value: dict[str, Any]) -> dict[str, Any]:
    """Return arguments that are JSON as others read it: no lone surrogate, no huge number."""
    try:
        orjson.dumps(value)
    except TypeError as error:
        raise ValueError("it is no plain JSON") from error
    return value


Arguments = Annotated[dict[str, Any], AfterValidator(_plain_json)]


class Chosen(Body):
    """What is to be done, and for which sessions."""

    kind: Kind
    arguments: Arguments = Field(
        default_factory=dict, description="As the schema of the kind says: see /task-kinds."
    )
    sessions: list[SessionName] = Field(default_factory=list, max_length=1_000)
    user: str = Field("", max_length=100, description="For all sessions of a user.")
    every_session: bool = False
    priority: Priority = Field("", description="Empty: the kind's own.")


class NewTask(Chosen):
    """Tasks to be submitted: one for each of the sessions, or one that needs none."""

    unique_key: str = Field("", max_length=100)
    keep_newest: bool = Field(False, description="Replace the task of the same key that waits.")
    delay_seconds: float = Field(0.0, ge=0, le=_LONGEST_DELAY_SECONDS, allow_inf_nan=False)
    start_within_seconds: float = Field(0.0, ge=0, le=_LONGEST_DELAY_SECONDS, allow_inf_nan=False)


class Submitted(BaseModel):
    """The tasks that were queued."""

    tasks: list[int]
    batch: int | None
    state: str


class Task(BaseModel):
    """One task, with its arguments and its result."""

    id: int
    kind: str
    state: State
    priority: str
    batch: int | None
    session: str | None
    worker: str
    attempts: int
    progress: float
    error: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    arguments: dict[str, Any] | None = Field(description="Null: they are sealed.")
    result: Any
    cursor: str
    max_attempts: int
    timeout_seconds: int
    unique_key: str | None
    cancelling: bool
    pausing: bool
    actor: str
    run_after: datetime
    start_by: datetime | None
    published_at: datetime | None


class Count(BaseModel):
    """How many tasks a change was about."""

    count: int


@endpoint(router, "GET", "/tasks", tasks.listing, model=PageOf[TaskRow])
async def list_tasks(
    request: Request,
    cursor: Cursor = None,
    limit: Limit = 100,
    kind: Annotated[str | None, Query(max_length=100, pattern=r"^[a-z_.]+$")] = None,
    state: State | None = None,
    session: Annotated[str | None, Query(min_length=1, max_length=100)] = None,
    batch: Annotated[int | None, Query(ge=1, lt=2**31)] = None,
    sort: ById = "-id",
) -> Response:
    """List tasks, the newest first."""
    return await page(
        request,
        lambda context, after: tasks.listing(
            context,
            after=after,
            limit=limit,
            kind=kind,
            state=state,
            session=session,
            batch=batch,
            sort=sort,
        ),
        cursor,
    )


@endpoint(router, "POST", "/tasks", task_requests.submit, model=Submitted, status=202, waits=True)
async def submit_task(request: Request, body: NewTask) -> Response:
    """Submit a task for each of the sessions; a single one may be waited for."""

    def make(context: Context) -> dict[str, Any]:
        found = task_requests.submit(context, TaskRequest(**body.model_dump()))
        return {"tasks": list(found.ids), "batch": found.batch, "state": "queued"}

    response = await change(
        request, make, status=202, location=lambda it: f"/api/v1/tasks/{it['tasks'][0]}"
    )
    seconds = waits_for(request)
    if response.status_code != 202 or not seconds:
        return response
    return await _waited(request, response, seconds)


async def _waited(request: Request, response: Response, seconds: float) -> Response:
    """Wait until the one task of an answer has finished, if the actor may see it."""
    found = orjson.loads(response.body)
    context = context_of(request)
    if len(found["tasks"]) != 1 or not context.actor.may("task:read"):
        return response
    until = time.monotonic() + seconds
    while found["state"] not in _FINISHED and time.monotonic() < until:
        await asyncio.sleep(_POLL_SECONDS)
        detail = await api_of(request).threads.read(lambda: tasks.show(context, found["tasks"][0]))
        found["state"] = detail.task.state
    return Response(
        dumps(found),
        status_code=200 if found["state"] in _FINISHED else 202,
        headers={"location": response.headers["location"], "preference-applied": "wait"},
        media_type=JSON,
    )


@endpoint(router, "GET", "/tasks/{task_id}", tasks.show, model=Task, one=True)
async def show_task(request: Request, task_id: Number) -> Response:
    """Show a task: its arguments, how far it is, its result."""
    return await one(request, lambda context: _flat(tasks.show(context, task_id)))


@endpoint(router, "GET", "/tasks/{task_id}/steps", tasks.steps, model=list[Step])
async def list_task_steps(request: Request, task_id: Number) -> Response:
    """Show what happened to a task, in order."""
    return await plain(request, lambda context: tasks.steps(context, task_id))


@endpoint(router, "POST", "/tasks/{task_id}/retry", tasks.retry, model=Said)
async def retry_task(request: Request, task_id: Number) -> Response:
    """Queue a failed or cancelled task again; it goes on where it was."""

    def make(context: Context) -> dict[str, str]:
        return {"detail": tasks.retry(context, task_id)}

    return await change(request, make)


@endpoint(router, "POST", "/tasks/{task_id}/pause", tasks.pause, model=Said)
async def pause_task(request: Request, task_id: Number) -> Response:
    """Pause a task, also one that runs: it keeps its place until it is resumed."""

    def make(context: Context) -> dict[str, str]:
        return {"detail": tasks.pause(context, task_id)}

    return await change(request, make)


@endpoint(router, "POST", "/tasks/{task_id}/resume", tasks.resume, model=Said)
async def resume_task(request: Request, task_id: Number) -> Response:
    """Resume a paused task: it goes on where it was."""

    def make(context: Context) -> dict[str, str]:
        return {"detail": tasks.resume(context, task_id)}

    return await change(request, make)


@endpoint(router, "DELETE", "/tasks/{task_id}", tasks.cancel, model=Said)
async def cancel_task(request: Request, task_id: Number) -> Response:
    """Cancel a task, also one that runs; what it has done stays."""

    def make(context: Context) -> dict[str, str]:
        return {"detail": tasks.cancel(context, task_id)}

    return await change(request, make)


@endpoint(router, "DELETE", "/batches/{batch}", tasks.cancel_batch, model=Count)
async def cancel_batch(request: Request, batch: Number) -> Response:
    """Cancel what has not finished of the tasks that were submitted together."""

    def make(context: Context) -> dict[str, int]:
        return {"count": tasks.cancel_batch(context, batch)}

    return await change(request, make)


@endpoint(router, "GET", "/task-kinds", tasks.kinds, model=list[KindRow])
async def list_task_kinds(request: Request) -> Response:
    """List the kinds of tasks, with the schemas of their arguments and results."""
    return await plain(request, tasks.kinds)


@endpoint(router, "GET", "/task-kinds/{kind}", tasks.explain, model=KindRow, one=True)
async def explain_task_kind(request: Request, kind: KindName) -> Response:
    """Explain a kind of task: what it does, its arguments, its result, its retries."""
    return await one(request, lambda context: tasks.explain(context, kind))


@endpoint(router, "GET", "/task-times", task_times.times, model=list[TimesRow])
async def summarise_tasks(
    request: Request,
    by: Literal["kind", "node", "tier"] = "kind",
    hours: Annotated[float, Query(gt=0, le=24 * 400)] = 24.0,
) -> Response:
    """Show how long tasks waited and ran, and how many failed."""
    return await plain(
        request, lambda context: task_times.times(context, by, hours=hours), takes_long=True
    )


def _flat(it: TaskDetail) -> Mapping[str, Any]:
    """Return a task as the command line prints it: one object."""
    row = {one.name: getattr(it.task, one.name) for one in fields(it.task)}
    return row | {one.name: getattr(it, one.name) for one in fields(it) if one.name != "task"}
