"""What attackers send."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from support.api import TestedApi
from support.dashboard import SAME, act, cookie_for, signed_in

from afx.api import cookies, gate
from afx.operations import tokens


def cookie_of(api: TestedApi) -> str:
    return f"{cookies.NAME}={cookie_for(api, api.token('*'))}"


@pytest.mark.parametrize("site", [None, "cross-site", "same-site", "none", "same-origin "])
def test_another_sites_page_cannot_change_anything_with_a_browsers_cookie(
    api: TestedApi, site: str | None
) -> None:
    headers = {"cookie": cookie_of(api)} | ({"sec-fetch-site": site} if site else {})
    answer = api.post("/api/v1/users", json={"name": "csrf"}, headers=headers, token="")
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:afx:problem:cross-site")
    assert api.get("/api/v1/users/csrf").status_code == 404


def test_a_page_of_the_dashboard_may_change_with_its_cookie(api: TestedApi) -> None:
    headers = {"cookie": cookie_of(api), **SAME}
    answer = api.post("/api/v1/users", json={"name": "cookie"}, headers=headers, token="")
    assert answer.status_code == 201


@pytest.mark.parametrize("position", [0, 5, 14, 30, -1])
def test_a_cookie_that_was_changed_is_refused(api: TestedApi, position: int) -> None:
    text = cookie_of(api).partition("=")[2]
    position %= len(text)
    changed = text[:position] + ("0" if text[position] != "0" else "1") + text[position + 1 :]
    answer = api.get("/api/v1/users", headers={"cookie": f"afx={changed}"}, token="")
    assert answer.status_code == 401


def test_a_cookie_is_not_a_token_and_a_token_no_cookie(api: TestedApi) -> None:
    text = cookie_of(api).partition("=")[2]
    assert api.get("/api/v1/users", token=text).status_code == 401
    planted = {"cookie": f"afx={api.token('*')}"}
    assert api.get("/api/v1/users", headers=planted, token="").status_code == 401


def test_a_cookie_ends_when_it_is_signed_out_and_with_its_token(api: TestedApi) -> None:
    made = tokens.create(api.context, "browser", scopes=["*"])
    api.api.credentials.forget()
    accessor = tokens.accessor_of(made.token)
    assert accessor
    keys = api.api.credentials.keys
    first, sign_in = cookies.seal(accessor, keys, time.time())
    second, _ = cookies.seal(accessor, keys, time.time())
    api.run(api.api.credentials.sign_out(sign_in))

    def status(cookie: str) -> int:
        answer = api.get("/api/v1/users", headers={"cookie": f"afx={cookie}"}, token="")
        return answer.status_code

    assert (status(first), status(second)) == (401, 200)
    assert api.send("DELETE", "/api/v1/tokens/browser").status_code == 204
    assert status(second) == 401


def test_a_revoked_token_is_refused_within_five_seconds(api: TestedApi) -> None:
    made = tokens.create(api.context, "leaked", scopes=["*"]).token
    api.api.credentials.forget()
    assert api.get("/api/v1/users", token=made).status_code == 200
    tokens.revoke(api.context, "leaked")  # by another process: nobody tells this one
    until = time.monotonic() + 5
    while api.get("/api/v1/users", token=made).status_code == 200:
        assert time.monotonic() < until
        time.sleep(0.2)


@pytest.mark.parametrize(
    "header",
    ["Bearer", "Bearer ", "Basic YTpi", "bearer afx_x", "Bearer " + "A" * 5000, "Bearer \xff"],
)
def test_a_header_without_a_token_is_refused(api: TestedApi, header: str) -> None:
    raw = {"authorization": header.encode("latin-1")}
    assert api.get("/api/v1/users", headers=raw, token="").status_code == 401


def test_ten_thousand_bad_tokens_end_in_refusals_that_cost_nothing(api: TestedApi) -> None:
    async def flood() -> set[int]:
        statuses = set()
        for number in range(10_000):
            token = f"afx_{number:012x}_{'A' * 43}"
            found = await ask(api, b"Bearer " + token.encode(), client="10.0.0.9")
            statuses.add(found)
        return statuses

    began = time.monotonic()
    assert api.run(flood()) == {401, 429}
    assert time.monotonic() - began < 10
    # Whoever has a token is not affected, behind the same address either.
    valid = b"Bearer " + api.token("*").encode()
    assert api.run(ask(api, valid, client="10.0.0.9")) == 200


async def ask(api: TestedApi, authorization: bytes, *, client: str) -> int:
    """Send a request without a client's library, for there are many."""
    found: list[int] = []

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            found.append(message["status"])

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/api/v1/users",
        "query_string": b"",
        "headers": [(b"authorization", authorization)],
        "client": (client, 1),
    }
    application: Any = api._client._transport.app  # type: ignore[attr-defined]
    await application(scope, receive, send)
    return found[0]


def test_a_body_that_is_too_large_is_refused_before_it_is_read(api: TestedApi) -> None:
    large = b" " * (gate.LARGEST_BODY + 1)
    answer = api.post("/api/v1/users", content=large)
    assert (answer.status_code, answer.json()["type"]) == (413, "urn:afx:problem:too-large")

    async def chunks() -> Any:
        for _ in range(gate.LARGEST_BODY // 65536 + 2):
            yield b" " * 65536

    assert api.post("/api/v1/users", content=chunks()).status_code == 413


def test_a_body_that_comes_too_slowly_is_refused(
    api: TestedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "BODY_SECONDS", 0.05)

    async def slow() -> Any:
        yield b"{"
        await asyncio.sleep(0.5)
        yield b"}"

    assert api.post("/api/v1/users", content=slow()).status_code == 408


@pytest.mark.parametrize("value", ["a\r\nset-cookie: x=1", "x" * 65, "", "é"])
def test_a_clients_request_id_cannot_bring_headers_in(api: TestedApi, value: str) -> None:
    answer = api.get("/healthz", headers={"x-request-id": value.encode()}, token="")
    assert "set-cookie" not in answer.headers
    assert answer.headers["x-request-id"] != value


def test_a_name_with_a_line_break_cannot_bring_headers_in(api: TestedApi) -> None:
    answer = api.get("/api/v1/users/a%0d%0aset-cookie:%20x=1")
    assert answer.status_code == 404 and "set-cookie" not in answer.headers


@pytest.mark.parametrize("path", ["/healthz", "/api/v1/users", "/api/v1/nothing"])
def test_no_answer_can_be_framed_sniffed_or_cached(api: TestedApi, path: str) -> None:
    headers = api.get(path).headers
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"


def test_deeply_nested_json_is_a_mistake_and_no_crash(api: TestedApi) -> None:
    for content in (b"[" * 100_000, b'{"name":' * 5000, b"\xff", b"{", b"null"):
        answer = api.post(
            "/api/v1/users", content=content, headers={"content-type": "application/json"}
        )
        assert answer.status_code in (400, 422), answer.text


def test_a_token_that_asks_too_often_is_slowed_down(api: TestedApi) -> None:
    from afx.api.rates import RateLimit

    limit = RateLimit(10, 20)
    waits = [limit.seconds_until_free("t", 0.0) for _ in range(21)]
    assert waits[:20] == [0.0] * 20 and 0 < waits[20] <= 0.1
    assert limit.seconds_until_free("other", 0.0) == 0.0
    assert limit.seconds_until_free("t", 0.2) == 0.0


def test_the_buckets_of_many_addresses_take_bounded_memory() -> None:
    from afx.api.rates import RateLimit

    limit = RateLimit(1, 1)
    for number in range(50_000):
        limit.seconds_until_free(str(number), number / 1e6)
    assert len(limit._buckets) <= 10_001


def test_an_unforeseen_error_tells_nothing(api: TestedApi, monkeypatch: pytest.MonkeyPatch) -> None:
    from afx.operations import users

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("password=hunter2")

    broken.__module__, broken.__name__ = users.listing.__module__, "listing"
    monkeypatch.setattr(users, "listing", broken)
    api.api.kept.forget()  # a list that an earlier test read is kept for a moment
    answer = api.get("/api/v1/users")
    assert (answer.status_code, answer.json()["type"]) == (500, "urn:afx:problem:internal")
    assert "hunter2" not in answer.text


@pytest.mark.parametrize(
    ("site", "accepts", "compressed"),
    [
        ("same-origin", "gzip, br", True),
        ("none", "gzip", True),
        ("none", "br", False),
        ("same-site", "gzip", False),
        ("cross-site", "gzip", False),
        ("", "gzip", False),
    ],
)
def test_a_page_is_compressed_unless_another_site_has_it_asked_for(
    api: TestedApi, site: str, accepts: str, compressed: bool
) -> None:
    """Lengths of compressed pages would tell a site what is on them (BREACH)."""
    headers = signed_in(api, api.token("*")) | {"sec-fetch-site": site, "accept-encoding": accepts}
    answer = api.get("/sessions?prefix=guessed", headers=headers, token="")
    assert "guessed" in answer.text
    assert (answer.headers.get("content-encoding") == "gzip") == compressed


def test_a_page_that_shows_a_secret_is_not_compressed(api: TestedApi) -> None:
    browser = signed_in(api, api.token("*")) | {"accept-encoding": "gzip"}
    made = act(api, browser, "token.create", name="made", scopes="user:read", days="1")
    for compressed in (False, True):  # it is shown once
        answer = api.get(made.headers["location"], headers=browser, token="")
        assert (answer.headers.get("content-encoding") == "gzip") == compressed
        assert ('id="secret"' in answer.text) != compressed
