"""GET requests that go past the framework get what the framework answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from support.api import TestedApi
from support.dead_letters import add_dead_letters
from support.held_messages import add_held_messages

from afx.api.application import application
from afx.api.direct import Direct, Get
from afx.api.routes.endpoint import GETS
from afx.operations import proxies, schedules, task_requests, users, webhooks
from afx.operations.task_requests import TaskRequest

VALUES = {
    "/users/{name}": "alice",
    "/sessions/{name}": "a-1",
    "/session-changes/{change_id}": "1",
    "/workers/{name}": "w1",
    "/tokens/{name}": "t0",
    "/rules/{rule_id}": "1",
    "/controls/{control_id}": "1",
    "/tasks/{task_id}": "1",
    "/schedules/{name}": "nightly",
    "/queues/{name}": "default",
    "/task-kinds/{kind}": "session.check",
    "/webhooks/{name}": "hook",
    "/webhook-deliveries/{delivery_id}": "1",
    "/held-messages/{held_id}": "1",
    "/proxies/{name}": "p",
}
SLOW = ("/doctor", "/events", "/audit/verification")
PATHS = sorted({it.path for it in GETS if not it.path.endswith(SLOW)})
QUERIES = (
    "",
    "limit=2&limit=1",
    "limit=&hours=-1",
    "hours=0.5&span=60&unknown=1",
    "troubled=true&prefix=%C3%A4%00&state=running",
    "reason=message_gone&rule=1",
    "state=none&troubled=2&cursor=AAAA",
)


class _Counted:
    """Counts what is answered directly."""

    def __init__(self, real: Direct) -> None:
        self.real = real
        self.answered = 0

    async def answer(self, scope: Any) -> Any:
        found = await self.real.answer(scope)
        self.answered += found is not None
        return found


@pytest.fixture(scope="module")
def filled(api: TestedApi) -> TestedApi:
    for name in ("x-1", "x-2"):
        users.add(api.context, name, "free")
    check = TaskRequest(kind="session.check", user="bob")
    task_requests.submit(api.context, check)
    schedules.add(api.context, "nightly", "0 3 * * *", check)
    webhooks.add(api.context, "hook", "https://example.org/")
    webhooks.test(api.context, "hook")
    api.post("/api/v1/sessions/a-1/pause")
    api.post("/api/v1/session-changes", json={"verb": "wake", "everything": True})
    add_dead_letters(1)
    add_held_messages(api.servers.vault(), 1, "hello")
    proxies.add(api.context, "p", "http://127.0.0.1:1", requires={})
    return api


@pytest.fixture
def counted(filled: TestedApi) -> Iterator[_Counted]:
    gate: Any = filled._client._transport.app  # type: ignore[attr-defined]
    real = gate._direct
    gate._direct = found = _Counted(real)
    yield found
    gate._direct = real


def address(path: str) -> str:
    path = path.replace(":number", "")
    for pattern, value in VALUES.items():
        prefix, _, placeholder = pattern.partition("{")
        if path.startswith(f"/api/v1{prefix}{{"):
            path = path.replace(f"{{{placeholder}", value)
    assert "{" not in path, f"say in the test what {path} is to name"
    return path


def both(api: TestedApi, path: str, **given: Any) -> tuple[httpx.Response, httpx.Response]:
    """Return the answer as it is, and the one of the framework alone."""
    gate: Any = api._client._transport.app  # type: ignore[attr-defined]
    direct = api.get(path, **given)
    kept, gate._direct = gate._direct, None
    try:
        return direct, api.get(path, **given)
    finally:
        gate._direct = kept


def shown(answer: httpx.Response) -> tuple[int, dict[str, str], str]:
    varies = ("x-request-id", "etag", "content-length")
    headers = {k: it for k, it in answer.headers.items() if k not in varies}
    # What is measured anew each time, and the request's own id.
    text = re.sub(r'"request":"[^"]*"', "", answer.text)
    text = re.sub(r"\d{4}-\d\d-\d\dT[0-9:.]+(\+00:00|Z)", "", text)
    return answer.status_code, headers, re.sub(r"\d+\.\d+", "", text)


@pytest.mark.parametrize("path", PATHS)
def test_an_answer_is_that_of_the_framework(
    filled: TestedApi, counted: _Counted, path: str
) -> None:
    place = address(path)
    for query in QUERIES:
        direct, framework = both(filled, f"{place}?{query}" if query else place)
        assert shown(direct) == shown(framework), query
    assert counted.answered >= 1


@pytest.mark.parametrize("path", PATHS)
def test_a_token_without_the_scope_is_refused_alike(
    filled: TestedApi, counted: _Counted, path: str
) -> None:
    for token in (filled.token("user:write"), filled.token("*", owner="bob")):
        direct, framework = both(filled, address(path), token=token)
        assert shown(direct) == shown(framework)


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/users/",
        "/api/v1/users/a%2Fb",
        "/api/v1/users/%C3%A4",
        "/api/v1/rules/1x",
        "/api/v1/rules/99999999999",
        "/api/v1/rules/0",
        "/api/v1/nothing",
        "/api/v1/users?" + "&".join(f"a{it}=1" for it in range(30)),
        "/api/v1/users?limit=0",
        "/api/v1/users?limit=x",
        "/api/v1/users?cursor=AAAA",
        "/api/v1/tasks/0",
        "/api/v1/tasks/1/steps/2",
        "/api/v1/rules/export",
    ],
)
def test_an_odd_path_is_answered_alike(filled: TestedApi, path: str) -> None:
    direct, framework = both(filled, path)
    assert shown(direct) == shown(framework)


def test_a_version_that_the_client_has_is_not_sent_again(
    filled: TestedApi, counted: _Counted
) -> None:
    version = filled.get("/api/v1/users/alice").headers["etag"]
    answer = filled.get("/api/v1/users/alice", headers={"if-none-match": version})
    assert (answer.status_code, counted.answered) == (304, 2)


def test_an_unforeseen_error_tells_nothing_here_either(
    filled: TestedApi, counted: _Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(users, "show", lambda *_: 1 / 0)
    answer = filled.get("/api/v1/users/alice")
    assert answer.status_code == 500 and answer.json()["type"] == "urn:afx:problem:internal"
    assert "ZeroDivision" not in answer.text


def test_the_first_route_that_matches_answers_as_in_the_framework() -> None:
    async def answer(request: Any, name: str = "") -> Any:
        return request, name

    gets = [
        Get("/things/{name}", answer, "x:read", True),
        Get("/things/all", answer, "x:read", True),
    ]
    table = Direct(application(), gets, answer)  # type: ignore[arg-type]
    assert table._by_path == {}
    [(route, values)] = [table._found({"path": "/things/all", "query_string": b""}) or ()]
    assert route.get is gets[0] and values == {"name": "all"}
