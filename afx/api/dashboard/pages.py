"""Making a page: what it shows is read and rendered in a thread, an error is a page too."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from afx import __version__
from afx.api import problems
from afx.api.dashboard import formats
from afx.api.dashboard.actions import ACTIONS
from afx.api.dashboard.assets import url_of
from afx.api.messages import Said
from afx.api.state import api_of, context_of, token_of
from afx.errors import AfxError
from afx.operations.context import Context

MOST_ROWS = 50
_OWN = ("same-origin", "none")
"""Where a request is from that may get a compressed page: this server's pages, or the person."""
_LEAST_COMPRESSED = 2_000
_LEVEL = 4

environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
)
environment.filters.update(
    instant=formats.instant,
    size=formats.size,
    number=formats.number,
    percent=formats.percent,
    duration=formats.duration,
    fields=formats.fields,
    event_text=formats.event_text,
)
environment.globals.update(asset=url_of, version=__version__, ACTIONS=ACTIONS)


async def page(
    request: Request,
    template: str,
    read: Callable[[Context], Mapping[str, Any]],
    *,
    takes_long: bool = False,
) -> Response:
    """Return a page; ``read`` gives what the template shows."""
    context = context_of(request)
    shared = _shared(request)
    api, token = api_of(request), token_of(request)
    threads, key = api.threads, request.query_params.get("said", "")

    def work() -> Response:
        shared["said"] = said = api.messages.take(token.id, key) if key else None
        status = 200
        try:
            text = environment.get_template(template).render(**shared, **read(context))
        except AfxError as error:
            kind = problems.kind_of(error)
            status = kind.status
            text = environment.get_template("error.html").render(
                **shared, kind=kind, detail=str(error), request_id=request.state.request
            )
        return _answer(request, text, status, has_secret=bool(said and said.secret))

    return await (threads.long if takes_long else threads.read)(work)


def _answer(request: Request, text: str, status: int, *, has_secret: bool) -> Response:
    """Return a page, compressed where its length tells a stranger nothing.

    A page repeats parts of its address. Who could make a browser ask for many addresses, and
    see how long the compressed answers are, could guess what else is on the page (BREACH,
    https://breachattack.com): what another site has a browser ask for is not compressed, nor a
    page that shows a secret.
    """
    headers = request.headers
    if (
        has_secret
        or len(text) < _LEAST_COMPRESSED
        or headers.get("sec-fetch-site") not in _OWN
        or "gzip" not in headers.get("accept-encoding", "")
    ):
        return HTMLResponse(text, status)
    content = gzip.compress(text.encode(), _LEVEL, mtime=0)
    return HTMLResponse(content, status, {"content-encoding": "gzip"})


async def back(request: Request, place: str, said: Said) -> Response:
    """Go to a page of the dashboard, and say there what was done."""
    api, token = api_of(request), token_of(request)
    key = await api.threads.read(lambda: api.messages.add(token.id, said))
    path = inside(place)
    separator = "&" if "?" in path else "?"
    return RedirectResponse(f"{path}{separator}{urlencode({'said': key})}", 303)


def inside(place: str) -> str:
    """Return a path of this server; the overview for an address of another one."""
    parts = urlsplit(place)
    fits = place.startswith("/") and not place.startswith(("//", "/\\")) and place.isprintable()
    if parts.scheme or parts.netloc or not fits or "\\" in place:
        return "/"
    return place


def without(request: Request, *names: str, **values: Any) -> str:
    """Return the address of this page with other values in its query."""
    left_out = {*names, *values, "said"}
    pairs = [it for it in request.query_params.multi_items() if it[0] not in left_out and it[1]]
    pairs += [(name, str(it)) for name, it in values.items() if it not in ("", None)]
    return f"{request.url.path}?{urlencode(pairs)}" if pairs else request.url.path


def _shared(request: Request) -> dict[str, Any]:
    api = api_of(request)
    token = token_of(request)

    def link(*names: str, **values: Any) -> str:
        return without(request, *names, **values)

    return {
        "actor": token.actor,
        "token": token,
        "may": token.actor.may,
        "everywhere": not token.actor.owner,
        "snapshot": api.hub.snapshot,
        "fault": api.hub.fault,
        "path": request.url.path,
        "here_url": without(request),
        "query": request.query_params,
        "link": link,
    }
