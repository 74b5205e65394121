"""What asks the cluster for something: a control, for which a client may wait."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from afx.api import replies
from afx.api.replies import change, dumps
from afx.api.state import api_of, context_of
from afx.operations import waiting
from afx.operations.context import Context
from afx.operations.requests import Requested
from afx.operations.waiting import Progress

MOST_WAIT_SECONDS = 30.0
_POLL_SECONDS = 0.1
_WAIT = re.compile(r"(?:^|[,;]\s*)wait=(\d{1,4})(?:$|[,;\s])", re.ASCII)


class RequestedModel(BaseModel):
    """What came of a request; follow the control at its Location."""

    target: str
    control: int | None
    state: str
    note: str


async def request_control(request: Request, make: Callable[[Context], Requested]) -> Response:
    """Request a control, and answer 202 with its place; 200 once there is nothing to wait for.

    With ``Prefer: wait=SECONDS`` the answer waits until the control is finished.
    """

    def requested(context: Context) -> Any:
        found = make(context)
        return Progress(
            found.target,
            found.control,
            "requested" if found.control is not None else "done",
            found.note,
        )

    response = await change(request, requested, status=202, location=_location)
    if response.status_code != 202:
        return response
    progress = _parsed(response)
    if progress is None or progress.control is None:
        return Response(response.body, status_code=200, media_type=replies.JSON)
    seconds = waits_for(request)
    if seconds is None:
        return response
    return await _waited(request, response, progress, seconds)


def waits_for(request: Request) -> float | None:
    """Return for how many seconds the answer is to wait; None: it is not."""
    wanted = _WAIT.search(request.headers.get("prefer", ""))
    return None if wanted is None else min(MOST_WAIT_SECONDS, float(wanted[1]))


async def _waited(
    request: Request, response: Response, progress: Progress, seconds: float
) -> Response:
    until = time.monotonic() + seconds
    context = context_of(request)
    subject = Requested(progress.target, progress.control)

    def look() -> Progress:
        # A timeout of 0 yields once.
        [found] = next(iter(waiting.watch(context, [subject], timeout=0)))
        return found

    while not progress.finished and time.monotonic() < until and context.actor.may("control:read"):
        progress = await api_of(request).threads.read(look)
        if not progress.finished:
            await asyncio.sleep(_POLL_SECONDS)
    headers = {"location": response.headers["location"], "preference-applied": "wait"}
    return Response(
        dumps(progress),
        status_code=200 if progress.finished else 202,
        headers=headers,
        media_type=replies.JSON,
    )


def _location(found: Any) -> str:
    return f"/api/v1/controls/{found.control}" if found.control is not None else ""


def _parsed(response: Response) -> Progress | None:
    import orjson

    try:
        return Progress(**orjson.loads(response.body))
    except (ValueError, TypeError):
        return None
