"""Rules, one by one and as files."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from afx.api.replies import change, one, page, plain, shown
from afx.api.routes.endpoint import Body, ById, Cursor, Hours, Limit, Number, PageOf, endpoint
from afx.api.state import api_of, context_of
from afx.operations import rule_digests, rule_figures, rule_files, rules
from afx.operations.context import Context
from afx.operations.rule_digests import Collected
from afx.operations.rule_figures import RuleHistory, RuleTotal
from afx.operations.rules import RuleRow

router = APIRouter(tags=["rules"])
Chat = Annotated[str, Field(min_length=1, max_length=200)]
Chats = Annotated[list[Chat], Field(min_length=1, max_length=100)]


class NewRule(Body):
    """A rule to be added."""

    session: str = Field(min_length=1, max_length=100, examples=["main"])
    sources: Chats = Field(examples=[["@news"]])
    destinations: Chats = Field(examples=[["-1001234567890"]])
    mode: Literal["copy", "forward"] = "copy"
    name: str = Field("", max_length=100, description="Empty: one is made.")
    filter: dict[str, Any] = Field(
        {}, description="Which messages are forwarded; empty: all.", examples=[{"contains": ["a"]}]
    )
    transform: list[dict[str, Any]] = Field(
        [], description="What is changed of copies.", examples=[[{"footer": "from {link}"}]]
    )
    sync: list[Literal["edits", "deletes", "pins", "topics"]] = Field(
        [], description="What is followed in copies.", examples=[["edits"]]
    )
    options: dict[str, Any] = Field(
        {},
        description="What else it does; times as 6h, or in seconds.",
        examples=[{"dedupe": "6h"}],
    )


class RuleChange(Body):
    """What is to be changed of a rule; what is not given stays."""

    enabled: bool | None = None
    sources: Chats | None = None
    destinations: Chats | None = None
    mode: Literal["copy", "forward"] | None = None
    filter: dict[str, Any] | None = Field(None, description="Empty: all messages.")
    transform: list[dict[str, Any]] | None = Field(None, description="Empty: nothing is changed.")
    sync: list[Literal["edits", "deletes", "pins", "topics"]] | None = Field(
        None, description="Empty: nothing is followed."
    )
    options: dict[str, Any] | None = Field(None, description="Empty: none.")


class RuleText(Body):
    """A file of rules, in YAML or JSON."""

    text: str = Field(
        max_length=rule_files.LARGEST_BYTES,
        description="A file of rules, as YAML or JSON.",
        examples=["rules:\n- session: main\n  name: news\n  from: '@news'\n  to: -1001234567890\n"],
    )
    prune: bool = Field(False, description="Remove what the file does not name.")


class ChangeModel(BaseModel):
    """What a file would change of one rule, or has changed."""

    path: str
    kind: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


@endpoint(router, "GET", "/rules", rules.listing, model=PageOf[RuleRow])
async def list_rules(
    request: Request,
    cursor: Cursor = None,
    limit: Limit = 100,
    session: Annotated[str | None, Query(min_length=1, max_length=100)] = None,
    enabled: bool | None = None,
    sort: ById = "id",
) -> Response:
    """List rules with their sessions' names, by id."""
    return await page(
        request,
        lambda context, after: rules.listing(
            context, after=after, limit=limit, session=session, enabled=enabled, sort=sort
        ),
        cursor,
    )


@endpoint(router, "POST", "/rules", rules.add, model=RuleRow, status=201)
async def add_rule(request: Request, body: NewRule) -> Response:
    """Add a rule to a session."""

    def make(context: Context) -> RuleRow | None:
        doc = rules.add(
            context,
            body.session,
            sources=body.sources,
            destinations=body.destinations,
            mode=body.mode,
            name=body.name,
            filter=body.filter,
            transform=body.transform,
            sync=body.sync,
            options=body.options,
        )
        return shown(context, "rule:read", lambda it: rules.show(it, doc.path))

    return await change(
        request, make, status=201, location=lambda it: f"/api/v1/rules/{it.id}" if it else ""
    )


@endpoint(router, "GET", "/rules/export", rule_files.export, media="application/yaml")
async def export_rules(
    request: Request, session: Annotated[str | None, Query(min_length=1, max_length=100)] = None
) -> Response:
    """Return a file of the rules of a session, or of all."""
    context = context_of(request)
    text = await api_of(request).threads.long(
        lambda: "".join(rule_files.export(context, session)).encode()
    )
    return Response(text, media_type="application/yaml")


@endpoint(router, "POST", "/rules/plan", rule_files.plan, model=list[ChangeModel], reads=True)
async def plan_rules(request: Request, body: RuleText) -> Response:
    """Return what a file of rules would change; nothing is changed."""
    return await plain(
        request,
        lambda context: [
            _shown(it)
            for it in rule_files.plan(context, body.text.encode(), "the request", prune=body.prune)
        ],
    )


@endpoint(router, "POST", "/rules/apply", rule_files.apply, model=list[ChangeModel])
async def apply_rules(request: Request, body: RuleText) -> Response:
    """Make the changes of a file of rules, all or none; returns them."""

    def make(context: Context) -> list[dict[str, Any]]:
        changes = rule_files.plan(context, body.text.encode(), "the request", prune=body.prune)
        if changes:
            rule_files.apply(context, changes, "the API")
        return [_shown(it) for it in changes]

    return await change(request, make)


@endpoint(router, "GET", "/rules/{rule_id:number}", rules.show, model=RuleRow, one=True)
async def show_rule(request: Request, rule_id: Number) -> Response:
    """Show a rule."""
    return await one(request, lambda context: rules.show(context, str(rule_id)))


@endpoint(router, "GET", "/rules/{rule_id:number}/figures", rule_figures.history, model=RuleHistory)
async def show_rule_figures(
    request: Request,
    rule_id: Number,
    hours: Hours = 24.0,
) -> Response:
    """Show what became of a rule's messages: in all, and by the hour or the day."""
    since = datetime.now(UTC) - timedelta(hours=hours)
    return await plain(request, lambda context: rule_figures.history(context, str(rule_id), since))


@endpoint(router, "GET", "/rule-figures", rule_figures.busiest, model=list[RuleTotal])
async def list_rule_figures(
    request: Request,
    hours: Hours = 24.0,
    limit: Annotated[int, Query(ge=1, le=1_000)] = rule_figures.MOST_BUSIEST,
    session: Annotated[str | None, Query(min_length=1, max_length=100)] = None,
) -> Response:
    """List the rules that forwarded most over a time, of a session or of all."""
    since = datetime.now(UTC) - timedelta(hours=hours)
    return await plain(
        request,
        lambda context: rule_figures.busiest(context, since, session=session, most=limit),
        takes_long=session is None,
    )


@endpoint(router, "GET", "/rule-digests", rule_digests.listing, model=list[Collected])
async def list_rule_digests(
    request: Request,
    session: Annotated[str | None, Query(min_length=1, max_length=100)] = None,
) -> Response:
    """List the rules with digests, with what waits for the next one."""
    return await plain(request, lambda context: rule_digests.listing(context, session=session))


@endpoint(
    router, "PATCH", "/rules/{rule_id:number}", rules.set_enabled, model=RuleRow, versioned=True
)
async def change_rule(request: Request, rule_id: Number, body: RuleChange) -> Response:
    """Change a rule, or enable or disable it."""

    def make(context: Context) -> RuleRow | None:
        fields = body.model_dump(exclude_none=True)
        if fields.keys() == {"enabled"}:
            rules.set_enabled(context, str(rule_id), fields["enabled"])
        else:
            rules.modify(context, str(rule_id), **fields)
        return shown(context, "rule:read", lambda it: rules.show(it, str(rule_id)))

    return await change(request, make, versioned=lambda context: rules.show(context, str(rule_id)))


@endpoint(router, "DELETE", "/rules/{rule_id:number}", rules.remove, status=204, versioned=True)
async def remove_rule(request: Request, rule_id: Number) -> Response:
    """Remove a rule."""

    def make(context: Context) -> None:
        rules.remove(context, str(rule_id))

    return await change(request, make, versioned=lambda context: rules.show(context, str(rule_id)))


def _shown(it: rule_files.Change) -> dict[str, Any]:
    return {
        "path": it.path,
        "kind": it.kind,
        "before": asdict(it.before) if it.before else None,
        "after": asdict(it.after) if it.after else None,
    }
