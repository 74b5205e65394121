"""Rules as texts: the schema of rule files, files of other forwarders, what signs outputs."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from afx.api.replies import change, plain
from afx.api.routes.endpoint import Body, Number, endpoint
from afx.operations import rule_files, rule_imports, rules
from afx.operations.context import Context
from afx.operations.rules import OutputSecret

router = APIRouter(tags=["rules"])


class ForeignFile(Body):
    """A configuration of another forwarder."""

    text: str = Field(
        max_length=rule_imports.LARGEST_BYTES,
        description="A tgcf.config.json, a mirror.config.yml or an .env of telemirror.",
        examples=["directions:\n  - from: [-1001]\n    to: [-1002]\n"],
        json_schema_extra={"writeOnly": True},
    )
    session: str = Field(
        min_length=1,
        max_length=100,
        description="Whose rules they are to be.",
        examples=["main"],
    )
    origin: Literal["tgcf", "telemirror"] | None = Field(
        None, description="Whose file it is; absent: as it looks."
    )


class ForeignNote(BaseModel):
    """What could not be carried over as it was, and what to do instead."""

    effect: str
    message: str
    rule: str
    line: int | None
    field: str


class ForeignRules(BaseModel):
    """The rules that a file means; nothing is changed: `POST /rules/apply` takes the text."""

    origin: Literal["tgcf", "telemirror"]
    text: str
    """A file of rules."""
    rules: list[dict[str, Any]]
    notes: list[ForeignNote]


@endpoint(router, "GET", "/rule-schema", rule_files.show_schema, model=dict[str, Any])
async def show_rule_schema(request: Request) -> Response:
    """Return the JSON Schema of files of rules."""
    return await plain(request, rule_files.show_schema)


@endpoint(router, "POST", "/rule-imports", rule_imports.convert, model=ForeignRules, reads=True)
async def convert_rules(request: Request, body: ForeignFile) -> Response:
    """Make a file of rules of what tgcf or telemirror had; nothing is changed."""

    def read(context: Context) -> dict[str, Any]:
        found = rule_imports.convert(
            context, body.text.encode(), "the request", body.session, body.origin
        )
        return {
            "origin": found.origin,
            "text": rule_imports.rule_file(found),
            "rules": found.rules,
            "notes": found.notes,
        }

    return await plain(request, read, takes_long=True)


@endpoint(
    router,
    "POST",
    "/rules/{rule_id:number}/secrets",
    rules.output_secrets,
    model=list[OutputSecret],
    keyed=False,
)
async def reveal_rule_secrets(request: Request, rule_id: Number) -> Response:
    """Return by what the requests to the webhooks of a rule are signed; it is audited."""

    def make(context: Context) -> list[OutputSecret]:
        return rules.output_secrets(context, str(rule_id))

    return await change(request, make, keyed=False)
