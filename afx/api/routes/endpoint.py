"""How a route is declared: the operation that it calls says which scope it needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Generic, Literal, TypeVar

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, ConfigDict
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response

from afx.api.direct import Get
from afx.api.problems import MEDIA_TYPE, Problem
from afx.api.replies import MOST_ROWS
from afx.api.state import context_of
from afx.operations.context import OWNED, SCOPES

T = TypeVar("T")
Limit = Annotated[int, Query(ge=1, le=MOST_ROWS, description="Rows of the page, at most.")]
Cursor = Annotated[
    str | None, Query(max_length=1_000, description="The `next` of the page before.")
]
ORDER = Query(description="The order; a dash before it reverses it.")
ById = Annotated[Literal["id", "-id"], ORDER]
ByName = Annotated[Literal["name", "-name", "id", "-id"], ORDER]
Hours = Annotated[float, Query(gt=0, le=24 * 400, description="How long ago it begins.")]
Number = Annotated[int, Path(ge=1, lt=2**31)]
Name = Annotated[str, Path(min_length=1, max_length=100, description="The whole name, or the id.")]


class _NumberConvertor(StringConvertor):
    """A number in a path: ``{name:number}``, where another word is another path."""

    regex = "[0-9]{1,10}"


register_url_convertor("number", _NumberConvertor())


class PageOf(BaseModel, Generic[T]):
    """A page of a list."""

    items: list[T]
    next: str | None
    """The cursor of the next page; null at the end."""


class Body(BaseModel):
    """The body of a request: unknown fields are mistakes, and so are values of other types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Empty(BaseModel):
    """Nothing."""


GETS: list[Get] = []
"""The routes that only read, in the order of their declarations."""


def scope_of(operation: Callable[..., Any]) -> tuple[str, bool]:
    """Return the scope that an operation needs, and whether limited actors may call it."""
    name = f"{operation.__module__.rpartition('.')[2]}.{operation.__name__}"
    return SCOPES[name], name in OWNED


def _header(
    name: str, text: str, *, required: bool = False, limits: dict[str, Any] | None = None
) -> dict[str, Any]:
    schema = {"type": "string"} | (limits or {})
    return {
        "name": name,
        "in": "header",
        "required": required,
        "description": text,
        "schema": schema,
    }


PRINTABLE = r"^[^\u0000-\u001f\u007f-\u009f]*$"
"""What is in no text that ``str.isprintable`` accepts, as a pattern of JSON Schema.

It refuses more, such as separators of lines; classes of Unicode differ by implementation.
"""
_CHANGE_PARAMETERS = [
    {
        "name": "reason",
        "in": "query",
        "required": False,
        "description": "Why; the audit log keeps it.",
        "schema": {"type": "string", "maxLength": 500, "pattern": PRINTABLE},
    },
    {
        "name": "dry_run",
        "in": "query",
        "required": False,
        "description": "Check, and change nothing.",
        "schema": {"type": "boolean", "default": False},
    },
]
_KEY = _header(
    "Idempotency-Key",
    "The change is made once, however often it is sent, for 24 h.",
    limits={"minLength": 1, "maxLength": 100, "pattern": "^[!-~]+$"},
)
_IF_MATCH = _header("If-Match", "The ETag of what is to be changed, or *.", required=True)
_IF_NONE_MATCH = _header("If-None-Match", "The ETag that the client has.")
_PREFER = _header("Prefer", "`wait=SECONDS`: answer when it is done, after 30 s at most.")


def problems_of(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return how the schema describes problems of these statuses."""
    return {
        it: {"description": "A problem.", "content": {MEDIA_TYPE: {"schema": _PROBLEM_REF}}}
        for it in sorted(statuses)
    }


class DryRun(BaseModel):
    """What a change answers that was checked, and not made."""

    dry_run: bool


def endpoint(
    router: APIRouter,
    method: str,
    path: str,
    operation: Callable[..., Any],
    *,
    model: Any = None,
    status: int = 200,
    one: bool = False,
    versioned: bool = False,
    waits: bool = False,
    keyed: bool = True,
    reads: bool = False,
    media: str = "application/json",
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare a route; ``operation`` gives its scope.

    ``one``: it answers with one thing and an ETag. ``versioned``: it needs If-Match.
    ``waits``: it requests a control and may wait for it. ``reads``: a POST that changes nothing,
    and so takes no reason, dry run or key. ``model`` is for the schema only.
    """
    scope, owned = scope_of(operation)
    parameters: list[dict[str, Any]] = []
    wrong = [400, 401, 403, 404, 422, 429, 500, 503]
    if one:
        parameters.append(_IF_NONE_MATCH)
    changes = method != "GET" and not reads
    if method != "GET":
        wrong.append(413)
    if changes:
        parameters += _CHANGE_PARAMETERS
        wrong.append(409)
    if method == "POST" and keyed and not reads:
        parameters.append(_KEY)
    if versioned:
        parameters.append(_IF_MATCH)
        wrong += [412, 428]
    if waits:
        parameters.append(_PREFER)
    responses = problems_of(*wrong)
    if one:
        responses[304] = {"description": "The client has this version."}
    if waits:
        responses[202] = {"description": "It was requested; see the control.", "model": model}
    if changes:
        text = "It is done; or it would be, in a dry run." if status == 200 else _DRY
        responses[200] = {"description": f"{text} Or it was waited for." if waits else text}
        shown = None if status in (201, 204) else model
        responses[200]["model"] = DryRun if shown is None else shown | DryRun
        if not waits:
            unread = "" if status == 204 else " The token may not read it."
            responses[204] = {"description": f"It is done.{unread}"}
    if media != "application/json":
        responses[status] = {"description": "The file.", "content": {media: {}}}
    elif model is not None and not responses.get(status, {}).get("model"):
        # Of a class of responses without a media type the framework describes no content.
        responses[status] = {"description": "The answer.", "model": model}

    async def permit(request: Request) -> None:
        context_of(request).require(scope, owned=owned)

    def declare(function: Callable[..., Any]) -> Callable[..., Any]:
        if method == "GET":
            GETS.append(Get(f"/api/v1{path}", function, scope, owned))
        router.add_api_route(
            f"/api/v1{path}",
            function,
            methods=[method],
            response_class=Response,
            status_code=status,
            dependencies=[Depends(permit)],
            responses=responses,
            openapi_extra={"parameters": parameters, "x-scope": scope, "x-owned": owned},
            operation_id=function.__name__,
        )
        return function

    return declare


_DRY = "A dry run: it would be done."
_PROBLEM_REF = {"$ref": "#/components/schemas/Problem"}
PROBLEM_SCHEMA = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
