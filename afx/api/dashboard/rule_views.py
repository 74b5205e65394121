"""The views of rules, and trying one on a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from afx.api.dashboard import rule_reference
from afx.api.dashboard.pages import MOST_ROWS, page
from afx.api.dashboard.views import rows_of
from afx.errors import UsageError
from afx.operations import (
    dead_letters,
    doubts,
    rule_digests,
    rule_figures,
    rule_files,
    rule_trials,
    rules,
)
from afx.operations.context import Context
from afx.operations.pages import Page
from afx.operations.rule_figures import RuleSpan

router = APIRouter(include_in_schema=False)
_LONGEST_TEXT = 10_000
SPANS = {"24h": 24.0, "3d": 72.0, "30d": 720.0}
"""How far back a rule's page looks, in hours: the hours that are stored, and days."""


@router.get("/rules")
async def list_rules(request: Request) -> Response:
    """List rules."""
    query = request.query_params

    def read(context: Context) -> dict[str, Any]:
        enabled = {"true": True, "false": False}.get(query.get("enabled", ""))

        def some(after: Any) -> Page[Any]:
            return rules.listing(
                context,
                after=after,
                limit=MOST_ROWS,
                session=query.get("session") or None,
                enabled=enabled,
            )

        return {**rows_of(request, some), "enabled": enabled}

    return await page(request, "rules.html", read)


@router.get("/rules/{rule_id}")
async def show_rule(request: Request, rule_id: str) -> Response:
    """Show a rule, what became of its messages, and how much could not be delivered."""
    chosen = _span(request)
    return await page(request, "rule.html", lambda context: _shown(context, rule_id, chosen))


@router.post("/rules/{rule_id}")
async def try_rule(request: Request, rule_id: str) -> Response:
    """Show a rule, and what it does with a text or a message; nothing is sent, or stored."""
    (text, message), chosen = _given(request.state.body), _span(request)

    def read(context: Context) -> dict[str, Any]:
        shown = {**_shown(context, rule_id, chosen), "text": text, "message": message}
        try:
            if message:
                [tried] = rule_trials.test(context, message=message.encode(), rule=rule_id)
            else:
                [tried] = rule_trials.test(context, text=text, rule=rule_id)
        except UsageError as error:
            return {**shown, "wrong": str(error)}
        return {**shown, "tried": tried}

    return await page(request, "rule.html", read)


@router.get("/rule-schema")
async def show_schema(request: Request) -> Response:
    """Show what a file of rules may have, field by field."""

    def read(context: Context) -> dict[str, Any]:
        return {"sections": rule_reference.reference(rule_files.show_schema(context))}

    return await page(request, "rule_schema.html", read)


def _shown(context: Context, rule_id: str, span: str) -> dict[str, Any]:
    found = rules.show(context, rule_id)
    counts = dead_letters.counts(context, rule=str(found.id))
    since = datetime.now(UTC) - timedelta(hours=SPANS[span])
    history = rule_figures.history(context, str(found.id), since)
    # One that has lost its senders has a trouble while there are doubts.
    is_pool = found.options.get("senders") or found.trouble
    return {
        "rule": found,
        "has_webhook": any(it.startswith("webhook:") for it in found.destinations),
        "words": rule_trials.in_words(replace(found, trouble="")),
        "dead": counts,
        "doubts": doubts.listing_if_running(context, str(found.id)) if is_pool else [],
        "text": "",
        "message": "",
        "tried": None,
        "wrong": "",
        "spans": tuple(SPANS),
        "span": span,
        "digests": rule_digests.listing(context, rule=str(found.id)),
        "figures": history.figures,
        "rows": history.rows,
        "data": orjson.dumps(_charts(history.rows)).decode(),
    }


def _span(request: Request) -> str:
    chosen = request.query_params.get("span", "24h")
    return chosen if chosen in SPANS else "24h"


def _charts(rows: Sequence[RuleSpan]) -> dict[str, list[float]]:
    """Return the series of the charts, in order of time."""
    return {
        "at": [it.at.timestamp() for it in rows],
        "forwarded": [it.figures.forwarded for it in rows],
        "latency": [1000 * (it.figures.latency_p99 or 0.0) for it in rows],
    }


def _given(body: bytes) -> tuple[str, str]:
    """Return the text of a form, and the message that it has instead, as JSON."""
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=5)
    except ValueError as error:
        raise UsageError("The form is not valid; open the page again.") from error
    # A form has line breaks of two characters.
    text, message = (dict(pairs).get(it, "").replace("\r\n", "\n") for it in ("text", "message"))
    if max(len(text), len(message)) > _LONGEST_TEXT:
        raise UsageError(f"A text has at most {_LONGEST_TEXT} characters; shorten it.")
    return text, message.strip()
