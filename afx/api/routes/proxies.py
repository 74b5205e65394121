"""Proxies: by which ways sessions reach Telegram, and whether they work."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from afx.api.replies import change, dumps, one, page, respond, shown
from afx.api.routes.endpoint import Body, Cursor, Limit, Name, PageOf, endpoint
from afx.api.routes.sessions import Label, LabelKey
from afx.api.state import api_of, context_of
from afx.errors import UsageError
from afx.operations import proxies, proxy_checks
from afx.operations.answers import Answer
from afx.operations.context import Context
from afx.operations.proxies import ProxyRow
from afx.operations.proxy_checks import CheckedProxy

router = APIRouter(tags=["proxies"])
Text = Annotated[str, Field(max_length=100)]


class NewProxy(Body):
    """A proxy to be added; its address is stored encrypted and never shown again."""

    name: str = Field(min_length=1, max_length=100, examples=["eu-1"])
    url: str = Field(
        min_length=1,
        max_length=1_000,
        description="socks5://USER:PASSWORD@HOST:PORT, http://… (CONNECT), mtproxy://SECRET@…, "
        "or a link of Telegram for one.",
        examples=["socks5://USER:PASSWORD@192.0.2.1:1080"],
        json_schema_extra={"writeOnly": True, "format": "password"},
    )
    pool: Text = Field("", description="Sessions may get any proxy of a pool.")
    requires: dict[LabelKey, Label] = Field(
        default_factory=dict,
        max_length=20,
        description="Labels of the nodes from which it can be reached.",
        examples=[{"region": "eu"}],
    )


class ProxyChoice(Body):
    """By which way a session is to connect: one of a proxy, a pool, and directly."""

    proxy: Text = Field("", description="The name of a proxy.", examples=["eu-1"])
    pool: Text = Field("", description="The proxy of this pool which fewest sessions have.")
    direct: bool = Field(False, description="Without any proxy.")


class ProxyOfSession(BaseModel):
    """By which way a session connects."""

    session: str
    proxy: str
    """Its proxy; empty: it connects directly."""
    changed: bool
    dry_run: bool


class WhichProxies(Body):
    """Which proxies are to be checked; nothing: all."""

    names: list[Text] = Field(default_factory=list, max_length=proxy_checks.MOST)
    pool: Text = ""


@endpoint(router, "GET", "/proxies", proxies.listing, model=PageOf[ProxyRow])
async def list_proxies(
    request: Request,
    cursor: Cursor = None,
    limit: Limit = 100,
    pool: Annotated[str, Query(max_length=100, description="Of this pool.")] = "",
) -> Response:
    """List proxies by name: whether they work, and how many sessions have each."""
    return await page(
        request,
        lambda context, after: proxies.listing(context, pool=pool, after=after, limit=limit),
        cursor,
    )


@endpoint(router, "POST", "/proxies", proxies.add, model=ProxyRow, status=201, keyed=False)
async def add_proxy(request: Request, body: NewProxy) -> Response:
    """Add a proxy."""

    def make(context: Context) -> ProxyRow | None:
        made = proxies.add(
            context, body.name, body.url, pool=body.pool, requires=dict(body.requires)
        )
        return shown(context, "proxy:read", lambda it: proxies.show(it, str(made)))

    return await change(
        request,
        make,
        status=201,
        location=lambda it: f"/api/v1/proxies/{it.id}" if it else "",
        keyed=False,
    )


@endpoint(router, "GET", "/proxies/{name}", proxies.show, model=ProxyRow, one=True)
async def show_proxy(request: Request, name: Name) -> Response:
    """Show a proxy; what is secret of it is shown nowhere."""
    return await one(request, lambda context: proxies.show(context, name))


@endpoint(router, "DELETE", "/proxies/{name}", proxies.remove, status=204)
async def remove_proxy(request: Request, name: Name) -> Response:
    """Remove a proxy that no session has."""

    def make(context: Context) -> None:
        proxies.remove(context, name)

    return await change(request, make)


@endpoint(
    router,
    "POST",
    "/proxy-checks",
    proxy_checks.check,
    model=list[CheckedProxy],
    keyed=False,
)
async def check_proxies(request: Request, body: WhichProxies) -> Response:
    """Try whether Telegram answers through proxies, from the machine of the API.

    A proxy that lets in the nodes alone fails here. No account is needed. What is found is
    stored, except in a dry run. One such request is made at a time, and two may wait for it.
    """
    context = context_of(request, changes=True)

    def work() -> Answer:
        return Answer(200, dumps(proxy_checks.check(context, body.names, pool=body.pool)))

    # It waits for strangers: reads and changes go on meanwhile.
    return respond(await api_of(request).threads.ask_strangers(work))


@endpoint(router, "POST", "/sessions/{name}/proxy", proxies.assign, model=ProxyOfSession)
async def set_session_proxy(request: Request, name: Name, body: ProxyChoice) -> Response:
    """Let a session connect by way of one proxy only, or directly; one that runs is restarted.

    It keeps its proxy wherever it runs. While the proxy fails, it does not connect at all.
    """

    if [bool(body.proxy), bool(body.pool), body.direct].count(True) != 1:
        raise UsageError("Give one of proxy, pool and direct.")

    def make(context: Context) -> dict[str, object]:
        session, proxy, changed = proxies.assign(
            context, name, proxy=body.proxy, pool=body.pool, none=body.direct
        )
        found = {"session": session, "proxy": proxy, "changed": changed}
        return {**found, "dry_run": context.dry_run}

    return await change(request, make, shows_dry_run=True)
