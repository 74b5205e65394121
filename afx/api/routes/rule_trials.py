"""Rules looked at: what they do with a message, and what they are in words."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from afx.api.replies import plain
from afx.api.routes.endpoint import Body, Number, endpoint
from afx.errors import UsageError
from afx.operations import rule_trials
from afx.operations.context import Context
from afx.operations.rule_trials import Explained, Tried

router = APIRouter(tags=["rules"])


class Trial(Body):
    """A message, and the rules to try on it: one rule, or all of a session."""

    text: str | None = Field(None, max_length=10_000, examples=["Bitcoin falls"])
    message: dict[str, Any] | None = Field(
        None, description="A saved message, as chat.export or Telethon writes it; not with a text."
    )
    rule: str = Field("", max_length=201, description="An id, or SESSION/NAME.", examples=["1"])
    session: str = Field("", max_length=100)


@endpoint(router, "POST", "/rule-trials", rule_trials.test, model=list[Tried], reads=True)
async def try_rules(request: Request, body: Trial) -> Response:
    """Return what rules do with a message, and which condition decided; nothing is sent."""
    if bool(body.rule) == bool(body.session):
        raise UsageError("Name a rule, or a session whose rules are tried, and not both.")
    message = None if body.message is None else json.dumps(body.message).encode()

    def tried(context: Context) -> list[Tried]:
        return rule_trials.test(
            context,
            text=body.text,
            message=message,
            rule=body.rule,
            session=body.session or None,
        )

    return await plain(request, tried, takes_long=True)


@endpoint(
    router, "GET", "/rules/{rule_id:number}/explanation", rule_trials.explain, model=Explained
)
async def explain_rule(request: Request, rule_id: Number) -> Response:
    """Say in words what a rule does, and what is odd about it."""
    # It looks at all rules, for those that double it or lead round.
    return await plain(
        request, lambda context: rule_trials.explain(context, str(rule_id)), takes_long=True
    )
