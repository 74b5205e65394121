"""The client, against a real server; and that it and the command line say the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.cli_runs import runner
from support.dead_letters import add_dead_letters

from afx.client import Client, ProblemError
from afx.errors import AfxError, UnreachableError
from afx.local import private_redis
from models import base
from models.storage import analytics, rules, sessions, users
from models.storage.analytics import Sample
from models.storage.sessions import NewSession

from .test_server import Process  # isort: skip


@pytest.fixture(scope="module")
def server(_redis_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    found = Process(tmp_path_factory.mktemp("api"), private_redis.url_for(_redis_home))
    yield found
    found.stop()


@pytest.fixture
def client(server: Process) -> Iterator[Client]:
    with Client(f"http://127.0.0.1:{server.port}", server.token) as found:
        yield found


def test_a_user_is_added_changed_and_removed(client: Client) -> None:
    made = client.request("/users", {"name": "carl"}, reason="ticket 1")
    assert made.status == 201
    found = client.get("/users/carl")
    changed = client.change("/users/carl", {"tier": "premium"}, found.version)
    assert changed.data["tier"] == "premium"
    with pytest.raises(ProblemError) as refused:
        client.change("/users/carl", {"tier": "free"}, found.version)
    assert (refused.value.status, refused.value.kind) == (412, "changed")
    assert client.delete("/users/carl", changed.version).status == 204
    with pytest.raises(ProblemError, match="no user"):
        client.get("/users/carl")


def test_a_list_is_read_to_its_end(client: Client) -> None:
    for number in range(5):
        client.request("/users", {"name": f"many-{number}", "tier": "premium"})
    names = [it["name"] for it in client.items("/users", tier="premium", limit=2)]
    assert names == [f"many-{number}" for number in range(5)]


def test_a_change_whose_answer_was_lost_is_made_once(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = client._once
    lost: list[Any] = []

    def losing(*arguments: Any) -> Any:
        answer = once(*arguments)
        if not lost:
            lost.append(answer)
            raise ConnectionResetError
        return answer

    monkeypatch.setattr(client, "_once", losing)
    monkeypatch.setattr(client, "_sleep", lambda _: None)
    made = client.request("/users", {"name": "once"})
    assert made.status == 201 and made.headers["idempotent-replayed"] == "true"


def test_where_nothing_listens_a_sentence_says_so() -> None:
    with Client("http://127.0.0.1:9", "x", sleep=lambda _: None) as client:
        with pytest.raises(UnreachableError, match="does not answer"):
            client.get("/users")
    with pytest.raises(AfxError, match="http"):
        Client("ftp://x", "x")


@pytest.mark.parametrize(
    ("command", "path"),
    [
        (("user", "list"), "/users"),
        (("user", "list", "--sort", "-id"), "/users?sort=-id"),
        (("session", "list", "--sort", "-name"), "/sessions?sort=-name"),
        (("session", "list"), "/sessions"),
        (("rule", "list"), "/rules"),
        (("session", "change", "list"), "/session-changes"),
        (("session", "change", "show", "1"), "/session-changes/1"),
        (("rule", "schema"), "/rule-schema"),
        (("proxy", "list"), "/proxies"),
        (("rule", "explain", "1"), "/rules/1/explanation"),
        (("analytics", "rules"), "/analytics/rules"),
        (("rule", "show", "1"), "/rules/1"),
        (("rule", "figures", "1"), "/rules/1/figures"),
        (("rule", "dead", "list"), "/dead-letters"),
        (("rule", "dead", "count"), "/dead-letters/counts"),
        (("control", "list"), "/controls"),
        (("overflow", "list"), "/overflow"),
        (("audit", "list"), "/audit"),
        (("token", "list"), "/tokens"),
        (("worker", "list"), "/workers"),
        (("coordinator", "status"), "/coordinators"),
        (("db", "status"), "/database"),
        (("task", "list"), "/tasks"),
        (("task", "show", "1"), "/tasks/1"),
        (("task", "logs", "1"), "/tasks/1/steps"),
        (("task", "kinds"), "/task-kinds"),
        (("explain", "task.session.check"), "/task-kinds/session.check"),
        (("task", "times"), "/task-times"),
        (("task", "schedule", "list"), "/schedules"),
        (("queue", "list"), "/queues"),
        (("queue", "show", "low"), "/queues/low"),
    ],
)
def test_the_command_line_and_the_api_agree_field_by_field(
    server: Process, client: Client, _redis_home: Path, command: tuple[str, ...], path: str
) -> None:
    run = runner(server.home)
    variables = {"AFX_REDIS_URL": private_redis.url_for(_redis_home)}
    if path in ("/audit", "/users"):
        client.request("/users", {"name": f"both {path[1:]}"})
    if path in ("/tasks", "/tasks/1", "/tasks/1/steps"):
        client.request("/tasks", {"kind": "task.probe"})
    if path.startswith("/session-changes"):
        asked = client.request("/session-changes", {"verb": "wake", "everything": True})
        assert client.finished(asked, 60).data["state"] == "done"
    if path == "/schedules":
        client.request("/schedules", {"name": "n", "cron": "0 3 * * *", "kind": "task.probe"})
    if path == "/proxies":
        client.request(
            "/proxies", {"name": "p", "url": "http://ann:hunter2@192.0.2.1:1"}, keyed=False
        )
    if path.startswith(("/dead-letters", "/rules/", "/analytics")):
        fill_dead_letters(server.home)
    flags = () if path == "/rule-schema" else ("--json",)
    printed = json.loads(run(*command, *flags, **variables).stdout)
    assert printed or not path.startswith("/dead-letters")
    place, _, order = path.partition("?sort=")
    found = client.get(place, sort=order).data
    is_page = isinstance(found, dict) and found.keys() == {"items", "next"}
    rows = found["items"] if is_page else found
    if path == "/tokens":
        for it in (*printed, *rows):
            del it["last_used_at"]
    if path.startswith("/queues"):
        for it in (printed, rows) if isinstance(rows, dict) else (*printed, *rows):
            it["oldest_seconds"] = it["oldest_seconds"] is None
    assert rows == printed


def test_the_command_line_and_the_api_drop_and_retry_the_same(
    server: Process, client: Client, _redis_home: Path
) -> None:
    fill_dead_letters(server.home)
    run = runner(server.home)
    variables = {"AFX_REDIS_URL": private_redis.url_for(_redis_home)}
    path = f"/rules/{client.get('/rules').data['items'][0]['id']}/dead-letters"
    for verb in ("drop", "retry"):
        words = ("rule", "dead", verb, "main/news", "--yes", "--dry-run", "--json")
        printed = json.loads(run(*words, **variables).stdout)
        answer = client.request(f"{path}/{verb}", {}, dry_run=True).data
        assert answer["messages"] == printed["messages"] == 3
        assert answer.keys() == printed.keys()


def test_the_command_line_and_the_api_export_the_same_rows(server: Process) -> None:
    fill_dead_letters(server.home)
    base.open_database(f"sqlite:///{server.home}/afx.db")
    try:
        for number in range(3):
            at = base.utc_now() - timedelta(seconds=10 * number + 5)
            analytics.sample_many([Sample("=w,1", 10, 0.5, 3, number, 0.25)], at)
    finally:
        base.close_database()
    printed = runner(server.home)("analytics", "export", "--csv", "--since", "1h").stdout
    answer = server.send("/api/v1/analytics/export?hours=1")
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.text.splitlines() == printed.splitlines()
    assert len(answer.text.splitlines()) == 4 and '"\'=w,1"' in answer.text
    assert len(server.send("/api/v1/analytics/export?worker=none").text.splitlines()) == 1
    assert server.send("/api/v1/analytics/export?span=7").status_code == 422


def test_the_command_line_and_the_api_try_a_rule_alike(
    server: Process, client: Client, _redis_home: Path
) -> None:
    fill_dead_letters(server.home)
    words = ("rule", "test", "main/news", "--text", "see https://example.org", "--json")
    variables = {"AFX_REDIS_URL": private_redis.url_for(_redis_home)}
    printed = json.loads(runner(server.home)(*words, **variables).stdout)
    body = {"text": "see https://example.org", "rule": "main/news"}
    assert client.request("/rule-trials", body).data == printed
    assert printed[0]["entities"][0]["kind"] == "Url"
    saved = {"message": {"id": 7, "text": "see https://example.org"}, "session": "main"}
    assert client.request("/rule-trials", saved).data[0]["forwards"]
    for body in ({"text": "x"}, {"text": "x", "rule": "1", "session": "main"}, {"rule": "1"}):
        with pytest.raises(ProblemError) as refused:
            client.request("/rule-trials", body)
        assert refused.value.status == 422


def fill_dead_letters(home: Path) -> None:
    """Give the cluster of a home a rule with three dead letters, unless it has one."""
    base.open_database(f"sqlite:///{home}/afx.db")
    try:
        if not users.names_beginning("letters"):
            session = sessions.create(users.create("letters"), NewSession("main", "sealed", "x"))
            rule = rules.create(session, ["@news"], ["-7"], name="news")
            add_dead_letters(rule.id)
    finally:
        base.close_database()
