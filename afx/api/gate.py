"""What every request passes before any route: its id, its size and time, who asks, how often.

A middleware of plain ASGI: it costs a fraction of a framework's. A body is read here, whole
and within a time, so no route waits for a slow client.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import quote

import structlog

from afx.api import cookies, problems
from afx.api.credentials import Credentials
from afx.api.direct import Direct
from afx.api.problems import Kind
from afx.api.rates import RateLimit
from afx.api.traffic import Traffic
from afx.errors import AfxError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LARGEST_BODY = 4 * 1024 * 1024
_LARGEST_WITHOUT_TOKEN = 64 * 1024
"""Bytes of a form for signing in, with much room."""
BODY_SECONDS = 10.0
BAD_TOKENS_PER_SECOND = 5.0
BAD_TOKENS_AT_ONCE = 50.0
PUBLIC = ("/healthz", "/readyz", "/openapi.json", "/sign-in", "/static/")
"""Paths that need no token; one that ends with a slash stands for all below it."""
_PROBES = ("/healthz", "/readyz")
API_PATHS = ("/api/", "/metrics")
"""Where an answer without a token is a problem, and no page to sign in."""
SAFE = ("GET", "HEAD", "OPTIONS")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; worker-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
_RQ = "/rq"
_RQ_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
"""For rq-dashboard, whose pages have their scripts inline (see rq_view.py)."""
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)

log = structlog.get_logger()


class _Refused(Exception):
    """The request goes no further."""

    def __init__(self, kind: Kind, detail: str, **headers: str) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.headers = headers


class Gate:
    """Lets a request in, or answers it."""

    def __init__(
        self,
        app: App,
        credentials: Credentials,
        traffic: Traffic,
        *,
        direct: Direct | None = None,
        requests: RateLimit,
        bad_tokens: RateLimit,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app = app
        self._credentials = credentials
        self._traffic = traffic
        self._direct = direct
        self._requests = requests
        self._bad_tokens = bad_tokens
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = self._clock()
        headers: dict[bytes, bytes] = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        request = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        state = scope.setdefault("state", {})
        state["request"] = request
        path: str = scope["path"]
        policy = _RQ_POLICY if path == _RQ or path.startswith(f"{_RQ}/") else POLICY
        answer = _Answer(send, request, policy)
        try:
            try:
                await self._admit(scope, headers, state)
                most = LARGEST_BODY if "token" in state else _LARGEST_WITHOUT_TOKEN
                state["body"] = await _body(headers, receive, most)
                await self._pass_on(scope, _replay(state["body"], receive), answer.send)
            except _Refused as refused:
                await self._refuse(scope, refused, answer)
            except AfxError as error:
                kind = problems.kind_of(error)
                await answer.problem(kind, str(error), retry_after="1")
        except Exception as error:
            if answer.status and not answer.complete:
                raise
            # The words of an unforeseen error may hold secrets: they are for the log only.
            log.exception("request_failed", request=request, error=type(error).__name__)
            if not answer.status:
                await answer.problem(problems.INTERNAL, problems.UNFORESEEN)
        finally:
            self._traffic.count(scope["method"], answer.status, self._clock() - began)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._direct is not None and scope["method"] == "GET":
            found = await self._direct.answer(scope)
            if found is not None:
                await found(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _admit(self, scope: Scope, headers: dict[bytes, bytes], state: Any) -> None:
        path: str = scope["path"]
        if any(path == it or (it.endswith("/") and path.startswith(it)) for it in PUBLIC):
            # What only tells how this process is, changes nothing by any method.
            if scope["method"] not in SAFE and path not in _PROBES:
                _same_origin(headers)
            return
        client = scope["client"][0] if scope.get("client") else ""
        now = self._clock()
        authorization = headers.get(b"authorization", b"").decode("latin-1")
        scheme, _, text = authorization.partition(" ")
        cookie = _cookie(headers, cookies.name_of(scope.get("scheme", "http")))
        if authorization:
            token = await self._credentials.bearer(text) if scheme.lower() == "bearer" else None
        elif cookie and (found := await self._credentials.signed_in(cookie)):
            token, state["sign_in"] = found
            if scope["method"] not in SAFE:
                _same_origin(headers)
        else:
            token = None
        if token is None:
            # Only after the check: others behind the same address are not shut out.
            if (authorization or cookie) and self._bad_tokens.seconds_until_free(client, now):
                raise _Refused(
                    problems.TOO_MANY,
                    "Too many requests without a valid token came from this address; try later.",
                    retry_after="1",
                )
            raise _Refused(
                problems.UNAUTHENTICATED,
                "The request has no valid token; make one with 'afx token create', and send it "
                "as 'Authorization: Bearer TOKEN'.",
                www_authenticate="Bearer",
            )
        if wait := self._requests.seconds_until_free(token.accessor, now):
            raise _Refused(
                problems.TOO_MANY,
                "This token has made too many requests; send fewer a second.",
                retry_after=str(max(1, round(wait))),
            )
        state["token"] = token
        if path.startswith("/api/") and path.endswith("/"):
            # The framework would lead to where the Host header says.
            raise _Refused(problems.NOT_FOUND, "There is nothing at this path.")

    async def _refuse(self, scope: Scope, refused: _Refused, answer: _Answer) -> None:
        path: str = scope["path"]
        page = not path.startswith(API_PATHS) and scope["method"] in SAFE
        if refused.kind is problems.UNAUTHENTICATED and page:
            query = scope.get("query_string", b"").decode("latin-1")
            wanted = quote(path + (f"?{query}" if query else ""), safe="")
            await answer.plain(303, b"", location=f"/sign-in?next={wanted}")
            return
        await answer.problem(refused.kind, refused.detail, **refused.headers)


class _Answer:
    """Sends an answer with the headers that all have."""

    def __init__(self, send: Send, request: str, policy: str) -> None:
        self._send = send
        self._policy = policy.encode()
        self._request = request
        self.status = 0
        self.complete = False

    async def send(self, message: Message) -> None:
        """Send a part of an answer; the first one gets the headers."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = list(message.get("headers", []))
            if not any(name == b"cache-control" for name, _ in headers):
                headers.append((b"cache-control", b"no-store"))
            headers += [*_HEADERS, (b"content-security-policy", self._policy)]
            headers.append((b"x-request-id", self._request.encode()))
            message = {**message, "headers": headers}
        await self._send(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            self.complete = True

    async def problem(self, kind: Kind, detail: str, **headers: str) -> None:
        """Send a problem; a header's name has underscores in place of dashes."""
        content = problems.body(kind, detail, self._request)
        await self.plain(kind.status, content, content_type=problems.MEDIA_TYPE, **headers)

    async def plain(self, status: int, content: bytes, **headers: str) -> None:
        """Send a whole answer."""
        raw = [(k.replace("_", "-").encode(), v.encode("latin-1")) for k, v in headers.items()]
        raw.append((b"content-length", str(len(content)).encode()))
        await self.send({"type": "http.response.start", "status": status, "headers": raw})
        await self.send({"type": "http.response.body", "body": content})


def _same_origin(headers: dict[bytes, bytes]) -> None:
    """Refuse a change that a page of another site has sent with this browser's cookie."""
    if headers.get(b"sec-fetch-site") != b"same-origin":
        raise _Refused(
            problems.CROSS_SITE,
            "A browser may make changes only from a page of this API; open the dashboard.",
        )


def _cookie(headers: dict[bytes, bytes], name: str) -> str:
    try:
        found = SimpleCookie(headers.get(b"cookie", b"").decode("latin-1")).get(name)
    except CookieError:
        return ""
    return found.value if found else ""


async def _body(headers: dict[bytes, bytes], receive: Receive, most: int) -> bytes:
    """Return the whole body; raises _Refused for one of more bytes, or one that is too slow."""
    length = headers.get(b"content-length", b"0")
    if b"transfer-encoding" not in headers and length == b"0":
        return b""
    too_large = _Refused(
        problems.TOO_LARGE, f"Such a request has at most {most // 1024} KiB; send less at once."
    )
    if not length.isdigit() or len(length) > 12 or int(length) > most:
        raise too_large
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise _Refused(problems.BAD_REQUEST, "The client has gone.")
                part = message.get("body", b"")
                parts.append(part)
                size += len(part)
                if size > most:
                    raise too_large
                if not message.get("more_body"):
                    return b"".join(parts)
    except TimeoutError:
        raise _Refused(
            problems.TOO_SLOW,
            f"The body did not arrive within {BODY_SECONDS:g} s.",
            connection="close",
        ) from None


def _replay(body: bytes, receive: Receive) -> Receive:
    given = False

    async def replayed() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed
