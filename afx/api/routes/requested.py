"""What asks the cluster for something: a control, for which a client may wait."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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
    """What came of a request; follow the control at its Location, and the others."""

    target: str
    control: int | None
    state: str
    """The state of the one that is finished last, or of one that is not done."""
    note: str
    others: list[int]
    """The controls of the other processes of a node."""


@dataclass(slots=True, frozen=True)
class Answer:
    """How far a request is, with all of its controls."""

    target: str
    control: int | None
    state: str
    note: str
    others: tuple[int, ...] = ()

    def after(self, parts: Sequence[Progress]) -> Answer:
        """Return it as its controls are: it is done when all are, else as one that is not."""
        open_ones = [it for it in parts if not it.finished]
        wrong = [it for it in parts if it.state != "done"]
        chosen = next(iter([*open_ones, *wrong]), parts[0])
        return replace(self, state=chosen.state, note=chosen.note)


async def request_control(request: Request, make: Callable[[Context], Requested]) -> Response:
    """Request a control, and answer 202 with its place; 200 once there is nothing to wait for.

    With ``Prefer: wait=SECONDS`` the answer waits until the control is finished.
    """

    def requested(context: Context) -> Any:
        found = make(context)
        state = "requested" if found.control is not None else "done"
        return Answer(found.target, found.control, state, found.note, found.others)

    response = await change(request, requested, status=202, location=_location)
    if response.status_code != 202:
        return response
    answer = _parsed(response)
    if answer is None or answer.control is None:
        return Response(response.body, status_code=200, media_type=replies.JSON)
    seconds = waits_for(request)
    if seconds is None:
        return response
    return await _waited(request, response, answer, seconds)


def waits_for(request: Request) -> float | None:
    """Return for how many seconds the answer is to wait; None: it is not."""
    wanted = _WAIT.search(request.headers.get("prefer", ""))
    return None if wanted is None else min(MOST_WAIT_SECONDS, float(wanted[1]))


async def _waited(request: Request, response: Response, answer: Answer, seconds: float) -> Response:
    until = time.monotonic() + seconds
    context = context_of(request)
    subjects = [Requested(answer.target, it) for it in (answer.control, *answer.others)]
    finished = False

    def look() -> tuple[Progress, ...]:
        # A timeout of 0 yields once.
        return next(iter(waiting.watch(context, subjects, timeout=0)))

    while not finished and time.monotonic() < until and context.actor.may("control:read"):
        parts = await api_of(request).threads.read(look)
        answer, finished = answer.after(parts), all(it.finished for it in parts)
        if not finished:
            await asyncio.sleep(_POLL_SECONDS)
    headers = {"location": response.headers["location"], "preference-applied": "wait"}
    return Response(
        dumps(answer),
        status_code=200 if finished else 202,
        headers=headers,
        media_type=replies.JSON,
    )


def _location(found: Any) -> str:
    return f"/api/v1/controls/{found.control}" if found.control is not None else ""


def _parsed(response: Response) -> Answer | None:
    import orjson

    try:
        return Answer(**orjson.loads(response.body))
    except (ValueError, TypeError):
        return None
