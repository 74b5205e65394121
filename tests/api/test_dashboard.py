"""The dashboard without a browser: signing in, every view, every action."""

from __future__ import annotations

import asyncio
import re
import threading
from html import unescape
from typing import Any

import httpx
import pytest
from support.api import TestedApi
from support.dashboard import SAME, act, said, seen, signed_in
from support.dead_letters import add_dead_letters
from support.held_messages import add_held_messages

from afx.api.dashboard import pages
from afx.api.dashboard.actions import ACTIONS
from afx.api.dashboard.assets import ASSETS, url_of
from afx.operations import (
    audit_log,
    controls,
    proxies,
    schedules,
    session_bulk,
    sessions,
    task_requests,
    tasks,
    tokens,
    users,
    webhooks,
)
from afx.operations.task_requests import TaskRequest

VIEWS = (
    "/",
    "/nodes",
    "/nodes/w1",
    "/rebalance",
    "/sessions",
    "/sessions?state=paused&prefix=a&user=alice",
    "/sessions/a-1",
    "/sessions/a-1/placement",
    "/sessions/a-1/budgets",
    "/proxies",
    "/proxies?pool=eu",
    "/users",
    "/users/alice",
    "/rules",
    "/rules/1",
    "/overflow",
    "/controls",
    "/analytics",
    "/analytics?span=7d",
    "/analytics?span=none&worker=w1",
    "/audit",
    "/audit?verify=true",
    "/tokens",
    "/scaling",
    "/analytics/cluster",
    "/rule-schema",
    "/tasks",
    "/tasks?state=queued&kind=session.check&session=a-1&batch=1",
    "/tasks/1",
    "/queues",
    "/schedules",
    "/webhooks",
    "/webhooks/hook",
    "/webhooks/hook?state=failed",
    "/dead-letters",
    "/dead-letters?reason=message_gone&rule=1",
    "/dead-letters?reason=rule_changed&rule=a-1/n",
    "/dead-letters?rule=2",
    "/reviews",
    "/reviews?state=rejected&rule=2",
)


@pytest.fixture(scope="module")
def browser(api: TestedApi) -> dict[str, str]:
    sessions.move(api.context, "a-1")
    check = TaskRequest(kind="session.check", user="bob")
    task_requests.submit(api.context, check)
    schedules.add(api.context, "nightly", "0 3 * * *", check)
    webhooks.add(api.context, "hook", "https://example.org/")
    webhooks.test(api.context, "hook")
    proxies.add(
        api.context, "eu-1", "http://ann:hunter2@192.0.2.1:1", pool="eu", requires={"a": "b"}
    )
    for rule in (1, 2):
        add_dead_letters(rule)
    add_held_messages(api.servers.vault(), 1, "hello")
    return signed_in(api, api.token("*"))


@pytest.mark.parametrize("path", VIEWS)
def test_a_view_is_a_page_with_one_heading_and_no_inline_code(
    api: TestedApi, browser: dict[str, str], path: str
) -> None:
    answer = api.get(path, headers=browser, token="")
    assert answer.status_code == 200, answer.text
    assert answer.text.count("<h1") == 1
    assert not re.search(r"<script(?![^>]*src=)|\sstyle=|\son\w+=|javascript:", answer.text)
    assert not re.search(r'(src|href)="(https?:)?//', answer.text)


def test_without_a_cookie_a_page_leads_to_the_sign_in_and_back(api: TestedApi) -> None:
    answer = api.get("/sessions?state=paused", token="")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/sign-in?next=%2Fsessions%3Fstate%3Dpaused"
    page = api.get(answer.headers["location"], token="").text
    assert 'value="/sessions?state=paused"' in page


@pytest.mark.parametrize(
    "place", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:x", "x", ""]
)
def test_signing_in_leads_nowhere_else(api: TestedApi, place: str) -> None:
    data = {"token": api.token("*"), "next": place}
    answer = api.post("/sign-in", data=data, headers=SAME, token="")
    api._client.cookies.clear()
    assert answer.headers["location"] == "/"


def test_a_wrong_token_signs_nobody_in(api: TestedApi) -> None:
    for token in ("", "x", "afx_" + "0" * 12 + "_" + "A" * 43, "é" * 50):
        answer = api.post("/sign-in", data={"token": token}, headers=SAME, token="")
        assert answer.status_code == 401 and "set-cookie" not in answer.headers
        assert "not valid" in answer.text


def test_another_site_can_sign_nobody_in(api: TestedApi) -> None:
    answer = api.post("/sign-in", data={"token": api.token("*")}, token="")
    assert answer.status_code == 403 and "set-cookie" not in answer.headers


def test_signing_out_ends_the_cookie_for_good(api: TestedApi) -> None:
    browser = signed_in(api, api.token("*"))
    assert api.get("/users", headers=browser, token="").status_code == 200
    assert api.post("/sign-out", headers=browser, token="").status_code == 303
    assert api.get("/users", headers=browser, token="").status_code == 303


def test_each_sign_in_has_a_cookie_of_its_own(api: TestedApi) -> None:
    first, second = signed_in(api, api.token("*")), signed_in(api, api.token("*"))
    assert first["cookie"] != second["cookie"]


@pytest.mark.parametrize("name", ACTIONS)
def test_each_action_has_a_dialog_with_its_command(
    api: TestedApi, browser: dict[str, str], name: str
) -> None:
    action = ACTIONS[name]
    targets = {
        "sessions": "user=alice&state=running",
        "dead": "1:message_gone",
        "review": "1",
        "doubt": "1:-1001:-1002:7",
    }
    target = targets.get(name.partition(".")[0], "a-1")
    params = {} if name.endswith((".add", ".create")) else {"target": target}
    for part in ({}, {"hx-request": "true"}):
        answer = api.get(f"/actions/{name}", params=params, headers=browser | part, token="")
        assert answer.status_code == 200, answer.text
        text = unescape(answer.text)
        assert f"afx {action.command}" in text and "curl -X" in text
        assert ("cannot be undone" in text) == action.destroys
        assert 'name="reason"' in text


def test_the_commands_of_actions_exist() -> None:
    from cli.main import load

    for action in ACTIONS.values():
        noun, *inner, verb = action.command.split()
        group = load(noun)
        for it in inner:
            group = group.commands[it]
        command = group.commands[verb]
        flags = {flag for it in command.params for flag in it.opts}
        assert {it.flag for it in action.fields if it.flag not in ("", "-")} <= flags, action.name
        assert "--reason" in flags
        assert not action.destroys or "--yes" in flags, action.name


def test_each_action_has_an_icon_that_there_is(api: TestedApi, browser: dict[str, str]) -> None:
    icons = set(re.findall(r'id="i-([\w-]+)"', api.get("/users", headers=browser, token="").text))
    assert "plus" in icons
    assert {it.icon for it in ACTIONS.values()} <= icons


def test_the_requests_of_actions_are_in_the_schema() -> None:
    from afx.api.application import application

    known = {
        (method.upper(), re.sub(r"{\w+}", "{}", path))
        for path, methods in application().openapi()["paths"].items()
        for method in methods
    }
    assert {(it.method, f"/api/v1{it.path}") for it in ACTIONS.values()} <= known


def test_an_action_is_done_with_its_reason_and_said_on_the_next_page(
    api: TestedApi, browser: dict[str, str]
) -> None:
    answer = act(api, browser, "user.add", name="dora", tier="premium", reason="ticket 9")
    assert said(api, browser, answer).startswith("ok  Add a user: dora")
    assert users.show(api.context, "dora").tier == "premium"
    entry = audit_log.listing(api.context, target="user/dora").rows[0]
    assert entry.details["reason"] == "ticket 9"


def test_what_an_action_says_is_shown_once_and_to_nobody_else(
    api: TestedApi, browser: dict[str, str]
) -> None:
    answer = act(api, browser, "token.create", name="made", scopes="user:read", days="1")
    place = answer.headers["location"]
    other = signed_in(api, api.token("*:read"))
    assert "afx_" not in api.get(place, headers=other, token="").text
    first = api.get(place, headers=browser, token="").text
    assert re.search(r"afx_[0-9a-f]{12}_", first)
    assert not re.search(r"afx_[0-9a-f]{12}_", api.get(place, headers=browser, token="").text)


def test_what_destroys_needs_the_typed_name(api: TestedApi, browser: dict[str, str]) -> None:
    users.add(api.context, "gone", "free")
    form = {"target": "gone", "reason": "x"}
    assert act(api, browser, "user.remove", **form, typed="gon").status_code == 422
    assert users.show(api.context, "gone")
    assert said(api, browser, act(api, browser, "user.remove", **form, typed="gone")).startswith(
        "ok"
    )
    assert api.get("/api/v1/users/gone").status_code == 404


def test_many_sessions_are_paused_at_once(api: TestedApi, browser: dict[str, str]) -> None:
    answer = act(api, browser, "session.pause", target=["a-1", "b-1"], back="/sessions")
    assert "2 sessions" in said(api, browser, answer)
    states = {it.name: it.desired_state for it in sessions.listing(api.context).rows}
    assert states == {"a-1": "paused", "b-1": "paused"}


def test_all_sessions_of_a_filter_are_paused(api: TestedApi, browser: dict[str, str]) -> None:
    for it in controls.listing(api.context, only_open=True).rows:
        if it.session == "a-1":
            controls.cancel(api.context, it.id)
    sessions.resume(api.context, "a-1")
    page = unescape(api.get("/sessions?user=alice", headers=browser, token="").text)
    assert "/actions/sessions.pause?target=user%3Dalice" in page
    dialog = api.get("/actions/sessions.pause?target=user%3Dalice", headers=browser, token="")
    assert "1 sessions match: a-1." in dialog.text
    assert "afx session bulk pause --user alice" in dialog.text
    answer = act(api, browser, "sessions.pause", target="user=alice", back="/sessions?user=alice")
    assert "1 of 1 sessions" in said(api, browser, answer)
    assert sessions.show(api.context, "a-1").session.desired_state == "paused"


def test_others_do_not_wait_for_a_change_of_many_sessions(
    api: TestedApi, browser: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, released = threading.Event(), threading.Event()

    def slow(*_: Any, **__: Any) -> session_bulk.BulkResult:
        begun.set()
        assert released.wait(60)
        return session_bulk.BulkResult("pause", 0, (), None, False)

    monkeypatch.setattr(session_bulk, "change", slow)

    async def both() -> int:
        form = {"target": "user=alice", "back": "/sessions"}
        many = asyncio.create_task(
            api._client.post("/actions/sessions.pause", data=form, headers=browser)
        )
        while not begun.is_set():
            await asyncio.sleep(0.01)
        headers = {"authorization": f"Bearer {token}"}
        one = await api._client.post("/api/v1/users", json={"name": "eve"}, headers=headers)
        assert not many.done()
        released.set()
        await many
        return one.status_code

    token = api.token("*")
    assert api.run(both()) == 201


def test_a_change_of_all_sessions_needs_a_filter(api: TestedApi, browser: dict[str, str]) -> None:
    assert "sessions.pause" not in api.get("/sessions", headers=browser, token="").text
    answer = act(api, browser, "sessions.pause", target="sort=name", back="/sessions")
    assert "Choose a filter" in said(api, browser, answer)
    answer = act(api, browser, "sessions.remove", target="user=alice", typed="user")
    assert answer.status_code == 422


def test_a_task_is_cancelled_and_tried_again(api: TestedApi, browser: dict[str, str]) -> None:
    form = {"target": "1", "back": "/tasks/1"}
    assert "is cancelled" in said(api, browser, act(api, browser, "task.cancel", **form))
    assert "/actions/task.retry" in api.get("/tasks/1", headers=browser, token="").text
    assert "queued again" in said(api, browser, act(api, browser, "task.retry", **form))
    assert tasks.show(api.context, 1).task.state == "queued"
    assert "/actions/task.cancel" in api.get("/tasks/1", headers=browser, token="").text
    assert "number" in said(api, browser, act(api, browser, "task.cancel", target="x"))
    assert "is paused" in said(api, browser, act(api, browser, "task.pause", **form))
    page = api.get("/tasks/1", headers=browser, token="").text
    assert "/actions/task.resume" in page and "/actions/task.pause" not in page
    assert "queued again" in said(api, browser, act(api, browser, "task.resume", **form))


def test_a_queue_is_purged_once_its_name_is_typed(api: TestedApi, browser: dict[str, str]) -> None:
    task_requests.submit(api.context, TaskRequest(kind="session.check", user="bob", priority="low"))
    assert act(api, browser, "queue.purge", target="low").status_code == 422
    answer = act(api, browser, "queue.purge", target="low", typed="low")
    assert "1 tasks of low are cancelled" in said(api, browser, answer)
    answer = act(api, browser, "queue.requeue", target="low")
    assert "0 tasks of low" in said(api, browser, answer)


def test_a_rule_is_tried_on_a_text(api: TestedApi, browser: dict[str, str]) -> None:
    def tried(text: str, **headers: str) -> httpx.Response:
        given = headers or browser
        return api.post("/rules/1", data={"text": text}, headers=given, token="")

    page = tried("<b>hello</b> https://example.org").text
    assert (
        "It is forwarded" in page and "&lt;b&gt;hello&lt;/b&gt;" in page and "<b>hello" not in page
    )
    assert tried("x" * 10_001).status_code == 422
    assert tried("x", cookie=browser["cookie"]).status_code == 403  # of another site
    customer = signed_in(api, api.token("*", owner="bob"))
    assert tried("x", **customer).status_code == 404


def test_dead_letters_are_tried_again_and_dropped(api: TestedApi, browser: dict[str, str]) -> None:
    page = api.get("/dead-letters", headers=browser, token="").text
    assert "6 messages of 2 rules could not be delivered" in page
    assert "CHAT_WRITE_FORBIDDEN" in page
    query = {"target": "1:destination_closed"}
    dialog = unescape(api.get("/actions/dead.drop", params=query, headers=browser, token="").text)
    assert "2 messages of rule a-1/n could not be delivered." in dialog
    assert "afx rule dead drop 1 --kind destination_closed" in dialog
    assert "/api/v1/rules/1/dead-letters/drop" in dialog and '\'{"reason": ' in dialog
    answer = act(api, browser, "dead.retry", target="1:destination_closed", back="/dead-letters")
    assert "2 messages of rule a-1/n are tried again (task" in said(api, browser, answer)
    assert act(api, browser, "dead.drop", target="1:message_gone").status_code == 422
    form = {"target": "1:message_gone", "typed": "1:message_gone"}
    assert "was not shown" in said(api, browser, act(api, browser, "dead.drop", **form))
    form["seen"] = seen(api, browser, "1:message_gone")
    add_dead_letters(1, first=5_000)
    dropped = "1 messages of rule a-1/n were dropped"
    assert dropped in said(api, browser, act(api, browser, "dead.drop", **form))
    assert "has no dead letters" in said(api, browser, act(api, browser, "dead.drop", **form))
    form["seen"] = seen(api, browser, "1:message_gone")  # what has come since was left
    assert dropped in said(api, browser, act(api, browser, "dead.drop", **form))
    assert "has a number" in said(api, browser, act(api, browser, "dead.retry", target="x"))
    page = api.get("/rules/1", headers=browser, token="").text
    assert "destination closed" in page and "message gone" not in page
    page = api.get("/dead-letters?rule=1&reason=message_gone", headers=browser, token="").text
    assert "No dead letter matches" in page


def test_a_schedule_is_paused_resumed_and_removed(api: TestedApi, browser: dict[str, str]) -> None:
    schedules.add(api.context, "hourly", "0 * * * *", TaskRequest(kind="session.check", user="bob"))
    for verb, says in (("pause", "is paused"), ("resume", "goes on"), ("remove", "is removed")):
        answer = act(api, browser, f"schedule.{verb}", target="hourly")
        assert says in said(api, browser, answer)
    assert "hourly" not in [it.name for it in schedules.listing(api.context).rows]


def test_what_a_small_window_hides_of_actions_is_in_a_menu(
    api: TestedApi, browser: dict[str, str]
) -> None:
    for path in ("/sessions/a-1", "/rules", "/nodes"):
        page = api.get(path, headers=browser, token="").text
        hidden = set(re.findall(r'class="btn md" href="/actions/([\w.]+)', page))
        [menu] = re.findall(r'id="more" popover>(.*?)</div>', page, re.S)
        assert hidden and hidden == set(re.findall(r"/actions/([\w.]+)", menu)), path
    reader = signed_in(api, api.token("*:read"))
    assert 'id="more"' not in api.get("/nodes", headers=reader, token="").text


def test_a_refused_action_says_why(api: TestedApi, browser: dict[str, str]) -> None:
    answer = act(api, browser, "user.remove", target="bob", typed="bob", back="/users/bob")
    assert "owns sessions" in said(api, browser, answer)


def test_buttons_and_actions_follow_the_scopes_of_the_token(api: TestedApi) -> None:
    reader = signed_in(api, api.token("*:read"))
    page = api.get("/sessions/a-1", headers=reader, token="").text
    assert "/actions/" not in page
    assert api.get("/actions/session.pause?target=a-1", headers=reader, token="").status_code == 403
    answer = act(api, reader, "session.resume", target="a-1")
    assert "lacks the scope" in said(api, reader, answer)


@pytest.mark.parametrize("path", VIEWS)
def test_a_customer_sees_nothing_of_others(api: TestedApi, path: str) -> None:
    customer = signed_in(api, api.token("*", owner="alice"))
    answer = api.get(path, headers=customer, token="")
    assert answer.status_code in (200, 403, 404), answer.text
    assert not re.search(r"\bbob\b|(?<![\w-])b-1\b", answer.text)


def test_names_are_text_and_no_markup(api: TestedApi, browser: dict[str, str]) -> None:
    users.add(api.context, "<img src=x onerror=alert(1)>", "free")
    page = api.get("/users", headers=browser, token="").text
    assert "<img" not in page and "&lt;img" in page
    found = api.get("/sessions", params={"prefix": '"><script>'}, headers=browser, token="").text
    assert '"><script>' not in found


def test_an_error_is_a_page_with_a_way_on(api: TestedApi, browser: dict[str, str]) -> None:
    answer = api.get("/sessions/nobody", headers=browser, token="")
    assert answer.status_code == 404 and "There is no session" in answer.text
    assert api.get("/nothing", headers=browser, token="").status_code == 404


def test_static_files_are_kept_for_ever_under_a_name_of_their_content(api: TestedApi) -> None:
    answer = api.get(url_of("app.css"), headers={"accept-encoding": "gzip"}, token="")
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["content-encoding"] == "gzip"
    assert api.get("/static/app.css?v=old", token="").headers["cache-control"] == "no-store"
    for path in ("/static/../pages.py", "/static/%2e%2e/pages.py", "/static/vendor/README.md"):
        assert api.get(path, token="").status_code in (303, 404)


def test_the_first_view_is_small(api: TestedApi, browser: dict[str, str]) -> None:
    page = api.get("/", headers=browser, token="").content
    files = ("app.css", "app.js", "theme.js", "worker.js", "vendor/htmx.min.js")
    assert len(page) + sum(len(ASSETS[it].compressed) for it in files) < 150_000


def test_the_files_of_others_are_those_that_their_packages_have() -> None:
    import hashlib
    from pathlib import Path

    place = Path(pages.__file__).parent / "static/vendor"
    table = (place / "README.md").read_text()
    for path in place.glob("*.js"):
        assert hashlib.sha256(path.read_bytes()).hexdigest() in table, path.name


def test_a_token_of_the_dashboard_shows_in_the_list_of_its_uses(
    api: TestedApi, browser: dict[str, str]
) -> None:
    api.get("/users", headers=browser, token="")
    api.run(api.api.credentials.note_used())
    assert any(it.last_used_at for it in tokens.listing(api.context).rows)
