"""Changes of many sessions: in steps, between which others may change something."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Annotated

from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from afx.api.replies import dumps, key_of, note_change, respond
from afx.api.routes.endpoint import Body, endpoint
from afx.api.routes.sessions import Filter
from afx.api.state import api_of, context_of
from afx.operations import answers, session_bulk
from afx.operations.answers import Answer
from afx.operations.context import Context
from afx.operations.session_bulk import BulkItem, BulkPlan, BulkResult, Verb
from afx.operations.sessions import SessionFilter

router = APIRouter(tags=["sessions"])


class BulkChange(Body):
    """A change of many sessions: those of a filter, those that are named, or all."""

    verb: Verb = Field(examples=["pause"])
    filter: Filter | None = Field(None, examples=[{"user": "alice", "state": "running"}])
    sessions: list[Annotated[str, Field(max_length=100)]] = Field(
        default_factory=list, max_length=session_bulk.MOST, description="Whole names or ids."
    )
    everything: bool = Field(False, description="All sessions; instead of a filter and of names.")
    node: str = Field("", max_length=100, description="Where moved ones go; empty: anywhere.")
    limit: int = Field(session_bulk.MOST, ge=1, le=session_bulk.MOST)
    after: str | None = Field(
        None, max_length=100, description="The `next` of the change before this one."
    )


@dataclass(slots=True, frozen=True)
class Progress:
    """How far a change of many sessions has come."""

    plan: BulkPlan
    items: tuple[BulkItem, ...] = ()

    def text(self) -> str:
        """Return it as JSON."""
        return json.dumps(asdict(self))

    @staticmethod
    def of(text: str) -> Progress:
        """Return what ``text`` made a text of."""
        read = json.loads(text)
        items = tuple(BulkItem(**it) for it in read["items"])
        return Progress(BulkPlan(**read["plan"]), items)


@endpoint(router, "POST", "/session-changes", session_bulk.change, model=BulkResult)
async def change_sessions(request: Request, body: BulkChange) -> Response:
    """Pause, resume, hibernate, wake, move or remove many sessions; each has its own control.

    A dry run says how many there are, and what would be refused. With an Idempotency-Key a
    repetition goes on where the first request ended, if that was before its end.
    """
    api = api_of(request)
    context = context_of(request, changes=True)
    begin, step = partial(_begin, context, body), partial(_step, context)
    key = key_of(request, context)
    progress: Progress | None = None
    answer: Answer | None = None
    while answer is None:
        if key is None:
            outcome = await api.threads.change(partial(_first_or_next, begin, step, progress))
            progress, answer = (None, outcome) if isinstance(outcome, Answer) else (outcome, None)
        else:
            stored = Progress.text, Progress.of
            work = partial(answers.next_step, context, *key, begin=begin, step=step, stored=stored)
            answer = await api.threads.change(work)
        if answer is None:
            await asyncio.sleep(session_bulk.PAUSE_SECONDS)
    api.kept.forget()
    note_change(request, answer)
    return respond(answer)


def _first_or_next(
    begin: Callable[[], Progress],
    step: Callable[[Progress], Progress | Answer],
    progress: Progress | None,
) -> Progress | Answer:
    return step(begin() if progress is None else progress)


def _begin(context: Context, body: BulkChange) -> Progress:
    chosen = None if body.filter is None else SessionFilter(**body.filter.model_dump())
    plan = session_bulk.plan(
        context,
        body.verb,
        chosen,
        names=body.sessions,
        everything=body.everything,
        node=body.node,
        limit=body.limit,
        after=body.after,
    )
    return Progress(plan)


def _step(context: Context, progress: Progress) -> Progress | Answer:
    plan, items = progress.plan, progress.items
    items = (*items, *session_bulk.carry_out(context, plan, len(items)))
    if len(items) < len(plan.names):
        return Progress(plan, items)
    return Answer(200, dumps(plan.result(items, dry_run=context.dry_run)))
