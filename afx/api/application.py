"""The application: routes, errors, and what lives as long as the process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from afx.api import problems
from afx.api.change_runner import ChangeRunner
from afx.api.credentials import Credentials
from afx.api.cursors import Cursors
from afx.api.dashboard import action_routes
from afx.api.direct import Direct
from afx.api.examples import add_examples
from afx.api.gate import API_PATHS, BAD_TOKENS_AT_ONCE, BAD_TOKENS_PER_SECOND, Gate
from afx.api.generations import Generation
from afx.api.hub import Hub
from afx.api.kept import Kept
from afx.api.messages import Messages, MessagesInMemory
from afx.api.problems import Kind
from afx.api.rates import RateLimit
from afx.api.routers import DASHBOARD, ROUTERS
from afx.api.routes.endpoint import GETS, PROBLEM_SCHEMA
from afx.api.rq_view import PREFIX, RqView
from afx.api.state import Api
from afx.api.threads import Threads
from afx.api.traffic import Traffic
from afx.errors import AfxError, NotFoundError
from afx.operations import tokens as token_operations
from afx.operations.context import Actor, Context, Servers

_USES_SECONDS = 2.0
_ERRORS_SHOWN = 50

log = structlog.get_logger()


def build(
    servers: Servers,
    *,
    bad_tokens: RateLimit | None = None,
    messages: Messages | None = None,
    generation: Generation | None = None,
) -> tuple[FastAPI, Gate, Api]:
    """Return the application, the gate before it, and what both use.

    The servers' database is open; ``bad_tokens`` limits requests without a valid token, by
    address; ``messages`` and ``generation`` are those that several processes share. Call it
    where an event loop runs: the hub belongs to it.
    """
    settings = servers.settings
    threads = Threads(servers)
    system_context = Context(Actor("api"), servers)
    keys = token_operations.cookie_keys(system_context)
    credentials = Credentials(system_context, threads, keys)
    traffic = Traffic()
    kept = Kept(generation=generation)
    hub = Hub(system_context, threads, kept)
    api = Api(
        servers,
        system_context,
        threads,
        credentials,
        Cursors(keys[0]),
        hub,
        traffic,
        kept,
        messages or MessagesInMemory(),
        ChangeRunner(system_context, threads, kept),
    )
    app = application()
    app.state.api = api
    rate = settings.web_requests_per_second
    gate = Gate(
        app,
        credentials,
        traffic,
        direct=Direct(app, GETS, _afx_error),
        requests=RateLimit(rate, 2 * rate),
        bad_tokens=bad_tokens or RateLimit(BAD_TOKENS_PER_SECOND, BAD_TOKENS_AT_ONCE),
    )
    return app, gate, api


def application() -> FastAPI:
    """Return the routes with their schema; it serves once it has its ``Api``."""
    app = FastAPI(
        title="AutoForwardX",
        version="1",
        description=(
            "Everything that the command line can do. Send `Authorization: Bearer TOKEN`; "
            "`afx token create` makes one."
        ),
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
    )
    for it in ROUTERS:
        app.include_router(it)
    for it in DASHBOARD:
        app.include_router(it)
    app.mount(PREFIX, RqView())
    app.add_exception_handler(AfxError, _afx_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unforeseen)
    app.openapi = lambda: _schema(app)  # type: ignore[method-assign]
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    api: Api = app.state.api
    watching = asyncio.create_task(api.hub.run())
    noting = asyncio.create_task(_note_uses(api))
    changing = asyncio.create_task(api.changes.run())
    try:
        yield
    finally:
        api.hub.close()
        for it in (watching, noting, changing):
            it.cancel()
        await asyncio.gather(watching, noting, changing, return_exceptions=True)
        with suppress(AfxError):
            await api.credentials.note_used()
        await api.threads.close()


async def _note_uses(api: Api) -> None:
    while True:
        await asyncio.sleep(_USES_SECONDS)
        try:
            await api.credentials.note_used()
        except AfxError as error:
            log.warning("token_uses_not_written", reason=str(error))


def _problem(
    request: Request, kind: Kind, detail: str, errors: Any = (), **headers: str
) -> Response:
    content = problems.body(kind, detail, request.state.request, errors)
    return Response(content, kind.status, headers, media_type=problems.MEDIA_TYPE)


async def _afx_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, AfxError)
    if not _is_api(request):
        return action_routes.error_page(request, error)
    kind = getattr(error, "kind", None) or problems.kind_of(error)
    if kind.status >= 500:
        log.warning("request_failed", request=request.state.request, reason=str(error))
    headers = {"retry-after": "1"} if kind.status == 503 else {}
    return _problem(request, kind, str(error), problems.details_of(error), **headers)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [
        # What was given is not repeated: it may be a secret.
        {"where": ".".join(map(str, it["loc"])), "message": it["msg"]}
        for it in error.errors()[:_ERRORS_SHOWN]
    ]
    where = errors[0]["where"] if errors else "the request"
    return _problem(request, problems.INVALID, f"{where} is wrong; nothing was changed.", errors)


async def _unforeseen(request: Request, error: Exception) -> Response:
    del error  # the gate logs it: its words may hold secrets
    return _problem(request, problems.INTERNAL, problems.UNFORESEEN)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        allowed = ", ".join(sorted(_allowed(request)))
        return _problem(request, problems.NO_METHOD, f"This path takes {allowed}.", allow=allowed)
    if error.status_code == 404:
        if "text/html" in request.headers.get("accept", "") and not _is_api(request):
            return action_routes.error_page(request, NotFoundError("There is no such page."))
        return _problem(request, problems.NOT_FOUND, "There is nothing at this path.")
    kind = Kind("bad-request", error.status_code, "The request makes no sense")
    return _problem(request, kind, str(error.detail))


def _is_api(request: Request) -> bool:
    return request.url.path.startswith(API_PATHS)


def _allowed(request: Request) -> set[str]:
    """Return the methods of all routes of a path: each method is a route of its own."""
    found: set[str] = set()
    for route in (route for router in (*ROUTERS, *DASHBOARD) for route in router.routes):
        match, _ = route.matches({**request.scope, "path_params": {}})
        if match is not Match.NONE:
            found |= set(getattr(route, "methods", ()) or ())
    return found


def _schema(app: FastAPI) -> dict[str, Any]:
    if not app.openapi_schema:
        found = FastAPI.openapi(app)
        components = found.setdefault("components", {})
        schemas = components.setdefault("schemas", {})
        problem = dict(PROBLEM_SCHEMA)
        schemas.update(problem.pop("$defs", {}))
        schemas["Problem"] = problem
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        found["security"] = [{"token": []}]
        for path in ("/healthz", "/readyz"):
            found["paths"][path]["get"]["security"] = []
        add_examples(found)
        app.openapi_schema = found
    return app.openapi_schema
