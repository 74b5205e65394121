"""The views of tasks, their queues and their schedules."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from afx.api.dashboard.action import number_of
from afx.api.dashboard.fresh import rows_seen
from afx.api.dashboard.pages import MOST_ROWS, page
from afx.api.dashboard.views import rows_of
from afx.api.state import api_of
from afx.operations import queues, schedules, task_times, tasks
from afx.operations.context import Context
from afx.operations.task_times import TimesRow

router = APIRouter(include_in_schema=False)
STATES = ("waiting", "queued", "published", "running", "succeeded", "failed", "cancelled", "paused")
_LONGEST_SHOWN = 20_000


@router.get("/tasks")
async def list_tasks(request: Request) -> Response:
    """List tasks, the newest first; the filters are in the address."""
    query = request.query_params

    def read(context: Context) -> dict[str, Any]:
        def some(after: Any) -> Any:
            return tasks.listing(
                context,
                after=after,
                limit=MOST_ROWS,
                kind=query.get("kind") or None,
                state=query.get("state") or None,
                session=query.get("session") or None,
                batch=number_of(query["batch"], "batch") if query.get("batch") else None,
            )

        return {**rows_seen(request, some), "states": STATES, "kinds": tasks.KIND_NAMES}

    return await page(request, "tasks.html", read)


@router.get("/tasks/{task_id}")
async def show_task(request: Request, task_id: str) -> Response:
    """Show one task: how far it is, what happened to it, its arguments and its result."""

    def read(context: Context) -> dict[str, Any]:
        number = _number(task_id)
        detail = tasks.show(context, number)
        return {
            "detail": detail,
            "steps": tasks.steps(context, number),
            "arguments": None if detail.arguments is None else _shown(detail.arguments),
            "result": "" if detail.result is None else _shown(detail.result),
        }

    return await page(request, "task.html", read)


@router.get("/queues")
async def list_queues(request: Request) -> Response:
    """List the queues, and how long the tasks of the last day waited and ran."""

    def read(context: Context) -> dict[str, Any]:
        rows = queues.listing(context)
        times: list[TimesRow] = []
        if context.actor.may("task:read") and not context.actor.owner:
            # The page is live, and this reads all tasks of a day.
            kept = api_of(request).kept
            times = kept.get("task times", lambda: task_times.times(context, "kind"))
        return {"queues": rows, "times": times}

    return await page(request, "queues.html", read)


@router.get("/schedules")
async def list_schedules(request: Request) -> Response:
    """List the schedules by name."""

    def read(context: Context) -> dict[str, Any]:
        return rows_of(
            request, lambda after: schedules.listing(context, after=after, limit=MOST_ROWS)
        )

    return await page(request, "schedules.html", read)


def _number(text: str) -> int:
    return number_of(text, "task")


def _shown(value: Any) -> str:
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}\n…"
