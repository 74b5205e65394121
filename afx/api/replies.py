"""Answers as bytes: rows become JSON at once, without a model between.

The models of the schema are for OpenAPI; tests hold the answers to them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlencode

import orjson
import structlog
from starlette.requests import Request
from starlette.responses import Response

from afx.api.problems import NEEDS_IF_MATCH, Kind
from afx.api.state import api_of, context_of, token_of
from afx.errors import ChangedError, UsageError
from afx.operations import answers
from afx.operations.answers import Answer
from afx.operations.context import Context
from afx.operations.pages import Page

log = structlog.get_logger()
T = TypeVar("T")
MOST_ROWS = 1_000
JSON = "application/json"
_NOT_FILTERS = ("cursor", "limit")
_KEY = re.compile(r"[!-~]{1,100}", re.ASCII)


class NeedsIfMatchError(UsageError):
    """A change of what others may have changed names no version."""

    kind: Kind = NEEDS_IF_MATCH


def dumps(value: Any) -> bytes:
    """Return a value as JSON; a dataclass becomes an object."""
    return orjson.dumps(value, default=_plain)


def etag(content: bytes) -> str:
    """Return the version of a representation."""
    return f'"{hashlib.blake2b(content, digest_size=12).hexdigest()}"'


async def one(request: Request, read: Callable[[Context], Any]) -> Response:
    """Answer with one thing and its version; 304 when the client has it."""
    context = context_of(request)
    content = await api_of(request).threads.read(lambda: dumps(read(context)))
    version = etag(content)
    headers = {"etag": version, "cache-control": "private, no-cache"}
    known = _versions(request.headers.get("if-none-match", ""))
    if version in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=JSON, headers=headers)


async def plain(
    request: Request, read: Callable[[Context], Any], *, takes_long: bool = False
) -> Response:
    """Answer with what is read now, without a version."""
    context = context_of(request)
    threads = api_of(request).threads
    run = threads.long if takes_long else threads.read
    return Response(await run(lambda: dumps(read(context))), media_type=JSON)


async def page(
    request: Request,
    read: Callable[[Context, Any], Page[Any]],
    cursor: str | None,
) -> Response:
    """Answer with a page of a list; ``read`` takes the context and the key after which."""
    api = api_of(request)
    context = context_of(request)
    subject = list_of(request)
    after = None if cursor is None else api.cursors.open(cursor, subject)

    def work() -> bytes:
        found = read(context, after)
        more = None if found.next is None else api.cursors.seal(found.next, subject)
        return dumps({"items": found.rows, "next": more})

    return Response(await api.threads.read(work), media_type=JSON)


async def change(
    request: Request,
    make: Callable[[Context], Any],
    *,
    status: int = 200,
    location: Callable[[Any], str] | None = None,
    versioned: Callable[[Context], Any] | None = None,
    keyed: bool = True,
    shows_dry_run: bool = False,
) -> Response:
    """Make a change, and answer with what ``make`` returns; None: with nothing (204).

    ``versioned`` reads what is changed: the client must name its version with If-Match.
    With an Idempotency-Key the change is made once; ``keyed`` off: it cannot have one.
    ``shows_dry_run``: the answer to a dry run is what ``make`` returns.
    """
    api = api_of(request)
    expects = None
    if versioned is not None:
        expects = _expectation(request, versioned)
    context = context_of(request, expects=expects, changes=True)

    def work() -> Answer:
        result = make(context)
        if context.dry_run:
            return Answer(200, dumps(result if shows_dry_run else {"dry_run": True}))
        place = location(result) if location else ""
        headers = {"location": place} if place else {}
        if result is None:
            return Answer(204, b"", headers)
        content = dumps(result)
        if versioned is not None:
            headers["etag"] = etag(content)
        return Answer(status, content, headers)

    answer = await api.threads.change(_once(request, context, work, keyed=keyed))
    api.kept.forget()
    note_change(request, answer)
    return respond(answer)


def note_change(request: Request, answer: Answer) -> None:
    """Log who changed what: with the control or the task that it made, which others log."""
    if answer.repeated or request.query_params.get("dry_run") == "true":
        return
    log.info(
        "changed",
        request=request.state.request,
        actor=token_of(request).actor.name,
        what=f"{request.method} {request.url.path}",
        status=answer.status,
        place=answer.headers.get("location", ""),
    )


def shown(context: Context, scope: str, read: Callable[[Context], T]) -> T | None:
    """Return what was changed, if the actor may also read it; None in a dry run."""
    return None if context.dry_run or not context.actor.may(scope) else read(context)


def respond(answer: Answer) -> Response:
    """Return an answer as a response."""
    headers = dict(answer.headers)
    if answer.repeated:
        headers["idempotent-replayed"] = "true"
    return Response(
        answer.body or None,
        status_code=answer.status,
        headers=headers,
        media_type=JSON if answer.body else None,
    )


def _once(
    request: Request, context: Context, work: Callable[[], Answer], *, keyed: bool
) -> Callable[[], Answer]:
    key = key_of(request, context, keyed=keyed)
    if key is None:
        return work
    return lambda: answers.once(context, *key, work)


def key_of(
    request: Request, context: Context, *, keyed: bool = True
) -> tuple[int, str, str] | None:
    """Return the token, the Idempotency-Key and the digest of a change; None: it has no key.

    Raises UsageError for a key of another form, and for one of a request that is not
    ``keyed``.
    """
    key = request.headers.get("idempotency-key")
    if key is None or request.method != "POST":
        return None
    if not keyed:
        raise UsageError(
            "This request takes no Idempotency-Key: it or its answer holds a secret, of which "
            "nothing is stored. Its name makes it unique: a repetition is refused."
        )
    if not _KEY.fullmatch(key):
        raise UsageError("An Idempotency-Key has 1 to 100 ASCII characters, and no space.")
    if context.dry_run:
        return None
    parts = (request.method, request.url.path, request.url.query)
    digest = hashlib.sha256("\n".join(parts).encode() + b"\n" + request.state.body).hexdigest()
    return token_of(request).id, key, digest


def _expectation(request: Request, read: Callable[[Context], Any]) -> Callable[[], None] | None:
    given = request.headers.get("if-match")
    if given is None:
        raise NeedsIfMatchError(
            "Others may have changed it: read it, and send its ETag as If-Match ('*': any version)."
        )
    if given.strip() == "*":
        return None
    wanted = _versions(given)
    context = context_of(request)

    def check() -> None:
        if etag(dumps(read(context))) not in wanted:
            raise ChangedError("It was changed since you read it; read it again. Nothing was done.")

    return check


def _versions(header: str) -> set[str]:
    return {it.strip().removeprefix("W/") for it in header.split(",")}


def list_of(request: Request) -> str:
    """Return what a cursor is good for: the list, its filters, and who asks."""
    pairs = parse_qsl(request.url.query, keep_blank_values=True)
    filters = sorted(it for it in pairs if it[0] not in _NOT_FILTERS)
    return f"{request.url.path}?{urlencode(filters)}#{token_of(request).actor.owner}"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    return str(value)
