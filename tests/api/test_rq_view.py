"""rq-dashboard under the sign-in: it shows, and changes and runs nothing."""

from __future__ import annotations

import pickle
import zlib
from pathlib import Path
from typing import Any

import pytest
import redis
from support.api import TestedApi
from support.dashboard import signed_in

from afx.cluster.connection import connect

PAGES = (
    "/rq/",
    "/rq/0/view/queues",
    "/rq/0/view/workers",
    "/rq/0/view/jobs",
    "/rq/0/view/jobs/node-w1/queued/8/asc/1",
    "/rq/0/view/job/good",
    "/rq/0/view/job/poisoned",
    "/rq/0/data/queues.json",
    "/rq/0/data/workers.json",
    "/rq/0/data/jobs/node-w1/queued/8/asc/1.json",
    "/rq/0/data/jobs/node-w1/failed/8/dsc/1.json",
    "/rq/0/data/job/good.json",
    "/rq/0/data/job/poisoned.json",
    "/rq/static/css/main.css",
    "/rq/static/js/jquery-3.5.1.min.js",
)
SCRIPT = "<img src=x onerror=alert(1)>"
MARK = "unpickled"


class Poison:
    """Runs what it says when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.fixture(scope="module")
def client(api: TestedApi, tmp_path_factory: pytest.TempPathFactory) -> redis.Redis:
    """Redis with a queue of jobs, one of them poisoned, and a worker that has gone."""
    found = connect(api.servers.redis_url(), decode=False)
    mark = tmp_path_factory.mktemp("rq") / MARK
    poison = pickle.dumps(Poison(mark))
    plain = {"created_at": "2026-01-01T00:00:00.000000Z", "origin": "node-w1", "status": "queued"}
    found.sadd("rq:queues", "rq:queue:node-w1")
    found.rpush("rq:queue:node-w1", "good", "poisoned", "!wake", "gone")
    found.hset("rq:job:good", mapping={**plain, "data": b"[]", "description": SCRIPT})
    fields = {**plain, "data": zlib.compress(poison), "meta": poison, "result": poison}
    found.hset("rq:job:poisoned", mapping={**fields, "description": "x"})
    found.sadd("rq:workers", "rq:worker:gone", "rq:worker:here")
    found.hset("rq:worker:here", mapping={"queues": "node-w1", "state": "busy"})
    found.hset("rq:worker:here", "birth", "2026-01-01T00:00:00.000000Z")
    api.mark = mark  # type: ignore[attr-defined]
    return found


@pytest.fixture(scope="module")
def browser(api: TestedApi) -> dict[str, str]:
    return signed_in(api, api.token("queue:read"))


def content(client: redis.Redis) -> dict[bytes, bytes]:
    return {key: client.dump(key) for key in client.keys("rq:*")}


def test_its_pages_show_and_change_and_run_nothing(
    api: TestedApi, client: redis.Redis, browser: dict[str, str]
) -> None:
    before = content(client)
    for path in PAGES:
        answer = api.get(path, headers=browser, token="")
        assert answer.status_code == 200, (path, answer.text[-500:])
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert content(client) == before
    assert b"!wake" in client.lrange("rq:queue:node-w1", 0, -1)
    assert not api.mark.exists()  # type: ignore[attr-defined]


def test_what_it_shows_is_text_and_no_markup(
    api: TestedApi, client: redis.Redis, browser: dict[str, str]
) -> None:
    for path in ("job/good.json", "jobs/node-w1/queued/8/asc/1.json"):
        text = api.get(f"/rq/0/data/{path}", headers=browser, token="").text
        assert "&lt;img src=x" in text and "<img" not in text
    workers = api.get("/rq/0/data/workers.json", headers=browser, token="").json()["workers"]
    assert [it["name"] for it in workers] == ["here"]
    assert "redis" not in api.get("/rq/", headers=browser, token="").text.partition("option")[2]


@pytest.mark.parametrize(
    "path",
    [
        "/rq/requeue/node-w1",
        "/rq/job/good/delete",
        "/rq/job/good/requeue",
        "/rq/queue/node-w1/queued/empty",
        "/rq/queue/node-w1/compact",
        "/rq/1/view/queues",
        "/rq/0/data/jobs/node-w1/queued/100000/asc/1.json",
        "/rq/0/data/jobs/node-w1/queued/-1/asc/1.json",
        "/rq/static/../web.py",
        "/rq/static/%2e%2e/web.py",
    ],
)
def test_what_changes_or_costs_is_not_there(
    api: TestedApi, client: redis.Redis, browser: dict[str, str], path: str
) -> None:
    before = content(client)
    assert api.get(path, headers=browser, token="").status_code == 404
    assert api.post(path, headers=browser, token="").status_code in (404, 405)
    assert content(client) == before


def test_only_who_may_read_all_queues_gets_in(api: TestedApi, client: redis.Redis) -> None:
    answer = api.get("/rq/", token="")
    assert answer.status_code == 303 and "/sign-in" in answer.headers["location"]
    for token in (api.token("task:read"), api.token("*", owner="alice")):
        for path in ("/rq/", "/rq/0/data/queues.json", "/rq/static/css/main.css"):
            assert api.get(path, headers=signed_in(api, token), token="").status_code == 403


def test_the_policy_is_relaxed_below_its_path_only(
    api: TestedApi, client: redis.Redis, browser: dict[str, str]
) -> None:
    for path, relaxed in (("/rq/", True), ("/rqx", False), ("/queues", False)):
        policy = api.get(path, headers=browser, token="").headers["content-security-policy"]
        assert ("unsafe-eval" in policy) is relaxed
