"""A small typed client of the REST API: pages, versions, repetitions and problems made easy.

    with Client("http://127.0.0.1:8720", token) as api:
        for session in api.items("/sessions", state="running"):
            print(session["name"])
        api.request("/sessions/main/pause", reason="holiday", wait=10)

It uses the standard library only. Each change is sent with a key of its own, so that a change
whose answer was lost is repeated without being made twice.
"""

from __future__ import annotations

import http.client
import json
import secrets
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from afx.errors import AfxError, UnreachableError

_TIMEOUT_SECONDS = 60.0
_ATTEMPTS = 4
_FIRST_PAUSE_SECONDS = 0.2
_BUSY = (429, 503)
_LONGEST_PAUSE_SECONDS = 2.0
_ENDED = ("done", "succeeded", "failed", "cancelled")


class ProblemError(AfxError):
    """The API refused a request; ``kind`` is stable, such as ``not-found``."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.kind = str(problem.get("type", "")).rpartition(":")[2]
        self.request = str(problem.get("request", ""))
        self.errors: list[Mapping[str, str]] = list(problem.get("errors") or ())
        super().__init__(str(problem.get("detail") or f"The API answered with status {status}."))


@dataclass(slots=True, frozen=True)
class Reply:
    """An answer."""

    status: int
    data: Any
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """The ETag, to be given to a change."""
        return self.headers.get("etag", "")


class Client:
    """One connection to an API; not for several threads at once."""

    def __init__(
        self,
        address: str,
        token: str,
        *,
        timeout: float = _TIMEOUT_SECONDS,
        tls: ssl.SSLContext | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``timeout`` bounds each wait for the API, in seconds."""
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise AfxError("The address of the API is http://HOST:PORT or https://…; correct it.")
        self._token = token
        self._sleep = sleep
        self._clock = clock
        self._connection: http.client.HTTPConnection
        if parts.scheme == "https":
            context = tls or ssl.create_default_context()
            self._connection = http.client.HTTPSConnection(
                parts.hostname, parts.port, timeout=timeout, context=context
            )
        else:
            self._connection = http.client.HTTPConnection(
                parts.hostname, parts.port, timeout=timeout
            )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def get(self, path: str, **query: Any) -> Reply:
        """Read; ``path`` begins below ``/api/v1``. Raises ProblemError, UnreachableError."""
        return self._send("GET", path, query, None, {})

    def items(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """Yield all rows of a list, page by page."""
        cursor: dict[str, str] = {}
        while True:
            found = self.get(path, **query, **cursor).data
            yield from found["items"]
            if found["next"] is None:
                return
            cursor = {"cursor": found["next"]}

    def request(
        self,
        path: str,
        body: Any = None,
        *,
        reason: str = "",
        wait: float = 0,
        keyed: bool = True,
        **query: Any,
    ) -> Reply:
        """POST; with ``wait`` the answer waits so many seconds for the end of a control.

        An answer that is lost is asked for again, and the change is made once; without that
        where it is not ``keyed``, as what holds a secret is not: a token, a webhook, a proxy.
        """
        headers = {"idempotency-key": secrets.token_hex(16)} if keyed else {}
        if wait:
            headers["prefer"] = f"wait={wait:g}"
        return self._send("POST", path, {**query, "reason": reason}, body or {}, headers)

    def change(self, path: str, body: Any, version: str, *, reason: str = "") -> Reply:
        """PATCH what has this version; ``*``: any. Raises ProblemError of kind ``changed``."""
        return self._send("PATCH", path, {"reason": reason}, body, {"if-match": version})

    def delete(self, path: str, version: str = "*", *, reason: str = "") -> Reply:
        """DELETE what has this version; ``*``: any."""
        return self._send("DELETE", path, {"reason": reason}, None, {"if-match": version})

    def finished(self, reply: Reply, timeout: float) -> Reply:
        """Return what became of an answer's control, task or change of many sessions.

        Looks at its ``Location`` until it has ended, for ``timeout`` seconds at most; then it
        is returned as it is. Raises ProblemError, UnreachableError.
        """
        place = reply.headers.get("location", "").removeprefix("/api/v1")
        if not place:
            return reply
        until = self._clock() + timeout
        pause = _FIRST_PAUSE_SECONDS
        while True:
            found = self.get(place)
            if found.data.get("state") in _ENDED or self._clock() + pause > until:
                return found
            self._sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any],
        body: Any,
        headers: Mapping[str, str],
    ) -> Reply:
        pairs = {k: _text(it) for k, it in query.items() if it not in (None, "")}
        target = f"/api/v1{quote(path)}" + (f"?{urlencode(pairs)}" if pairs else "")
        sent = {"authorization": f"Bearer {self._token}", "accept": "application/json", **headers}
        content = None
        if body is not None:
            content = json.dumps(body).encode()
            sent["content-type"] = "application/json"
        # A change without a key might be made twice.
        may_repeat = method == "GET" or "idempotency-key" in headers
        attempts = _ATTEMPTS if may_repeat else 1
        for attempt in range(1, attempts + 1):
            last = attempt == attempts
            try:
                reply = self._once(method, target, content, sent)
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                if last:
                    raise UnreachableError(
                        f"The API does not answer ({type(error).__name__}); check its address."
                    ) from error
            else:
                if reply.status not in _BUSY or last:
                    return _checked(reply)
            self._sleep(_FIRST_PAUSE_SECONDS * 2**attempt)
        raise AssertionError("the last attempt returns or raises")

    def _once(
        self, method: str, target: str, content: bytes | None, headers: Mapping[str, str]
    ) -> Reply:
        self._connection.request(method, target, content, dict(headers))
        answer = self._connection.getresponse()
        raw = answer.read()
        kind = answer.headers.get("content-type", "")
        try:
            data = json.loads(raw) if raw and "json" in kind else raw.decode()
        except ValueError as error:
            raise UnreachableError("What answers there is no API of afx.") from error
        found = {name.lower(): value for name, value in answer.headers.items()}
        return Reply(answer.status, data, found)


def _checked(reply: Reply) -> Reply:
    if reply.status >= 400:
        raise ProblemError(reply.status, reply.data if isinstance(reply.data, dict) else {})
    return reply


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
