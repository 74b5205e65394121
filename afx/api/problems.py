"""Errors as RFC 9457 problems: what happened, what to do next, and the request's id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import BaseModel

from afx.api.cursors import CursorError
from afx.api.threads import BusyError
from afx.errors import (
    AfxError,
    ChangedError,
    ConflictError,
    ForbiddenError,
    InputFileError,
    NotFoundError,
    UnreachableError,
    UsageError,
)
from afx.operations.answers import KeyReusedError

MEDIA_TYPE = "application/problem+json"
UNFORESEEN = "Something unforeseen happened; look for the request's id in the log of the API."
_PREFIX = "urn:afx:problem:"
_ERRORS_SHOWN = 100


class FieldProblem(BaseModel):
    """One mistake of the input."""

    where: str
    message: str


class Problem(BaseModel):
    """What every error looks like."""

    type: str
    title: str
    status: int
    detail: str
    request: str
    errors: list[FieldProblem] = []


@dataclass(slots=True, frozen=True)
class Kind:
    """One kind of problem, with a name that does not change."""

    name: str
    status: int
    title: str


UNAUTHENTICATED = Kind("unauthenticated", 401, "No valid token")
FORBIDDEN = Kind("forbidden", 403, "Not allowed")
CROSS_SITE = Kind("cross-site", 403, "The request comes from another site")
NOT_FOUND = Kind("not-found", 404, "There is no such thing")
NO_METHOD = Kind("method-not-allowed", 405, "Not this method")
TOO_SLOW = Kind("too-slow", 408, "The request came too slowly")
CONFLICT = Kind("conflict", 409, "Something else is in the way")
CHANGED = Kind("changed", 412, "It was changed meanwhile")
TOO_LARGE = Kind("too-large", 413, "The request is too large")
INVALID = Kind("invalid", 422, "The input is wrong")
NEEDS_IF_MATCH = Kind("needs-if-match", 428, "If-Match is missing")
TOO_MANY = Kind("too-many-requests", 429, "Too many requests")
INTERNAL = Kind("internal", 500, "Something unforeseen happened")
UNAVAILABLE = Kind("unavailable", 503, "A server does not answer")
BAD_REQUEST = Kind("bad-request", 400, "The request makes no sense")

_KINDS: tuple[tuple[type[Exception], Kind], ...] = (
    (CursorError, Kind("bad-cursor", 400, "The cursor is not valid")),
    (KeyReusedError, Kind("key-reused", 422, "The idempotency key belongs to another request")),
    (NotFoundError, NOT_FOUND),
    (ChangedError, CHANGED),
    (ConflictError, CONFLICT),
    (ForbiddenError, FORBIDDEN),
    (UsageError, INVALID),
    (BusyError, Kind("busy", 503, "Too much to do")),
    (UnreachableError, UNAVAILABLE),
    (AfxError, Kind("failed", 500, "It could not be done")),
)


def kind_of(error: Exception) -> Kind:
    """Return the kind of problem that an error is."""
    return next((kind for it, kind in _KINDS if isinstance(error, it)), INTERNAL)


def body(kind: Kind, detail: str, request: str, errors: Sequence[Mapping[str, Any]] = ()) -> bytes:
    """Return a problem as JSON; ``detail`` is a sentence, ``request`` the request's id."""
    return orjson.dumps(
        {
            "type": f"{_PREFIX}{kind.name}",
            "title": kind.title,
            "status": kind.status,
            "detail": detail,
            "request": request,
            "errors": list(errors),
        }
    )


def details_of(error: AfxError) -> list[dict[str, str]]:
    """Return the single mistakes that an error lists."""
    if not isinstance(error, InputFileError):
        return []
    return [
        {"where": f"line {it.line}" if it.line else it.field or "", "message": it.message}
        for it in error.problems[:_ERRORS_SHOWN]
    ]
