"""Who may do what: every endpoint of the schema with every scope, by owner and foreign owner."""

from __future__ import annotations

from typing import Any

import pytest
from support.api import TestedApi
from support.conformance import OPERATIONS, check
from support.dead_letters import add_dead_letters
from support.held_messages import add_held_messages

from afx.operations import controls, proxies, schedules, sessions, task_requests, tokens, webhooks
from afx.operations.task_requests import TaskRequest
from models.storage import session_changes
from models.storage.session_changes import NewChange

SCOPED = sorted(name for name, (_, _, it) in OPERATIONS.items() if "x-scope" in it)
UNSCOPED = {"show_own_token", "search", "show_health", "show_readiness", "show_metrics"}
BODIES: dict[str, Any] = {
    "add_user": {"name": "carol"},
    "change_user": {"tier": "premium"},
    "add_session": {"name": "new", "user": "bob", "login": "1abc"},
    "change_session": {"requires": {"region": "eu"}},
    "move_session": {"node": "w1"},
    "change_sessions": {"verb": "pause", "sessions": ["2"]},
    "give_login": {"login": "1abc", "set_account": True},
    "begin_sign_in": {"phone": "+15551234567", "set_account": True},
    "answer_sign_in": {"sign_in": "v1.a.b", "code": "12345"},
    "add_rule": {"session": "b-1", "sources": ["@aaaa"], "destinations": ["@bbbb"]},
    "change_rule": {"enabled": False},
    "plan_rules": {"text": "rules: []"},
    "apply_rules": {"text": "rules: []"},
    "recycle_worker": {},
    "submit_task": {"kind": "session.check", "sessions": ["b-1"]},
    "add_schedule": {
        "name": "new",
        "cron": "0 3 * * *",
        "kind": "session.check",
        "sessions": ["b-1"],
    },
    "add_webhook": {"name": "new", "url": "https://example.org/", "owner": "bob"},
    "create_token": {"name": "new", "scopes": ["token:write"]},
    "try_rules": {"text": "x", "session": "b-1"},
    "retry_dead_letters": {},
    "drop_dead_letters": {"reason": "message_gone"},
    "decide_doubts": {"sent": 0},
    "add_proxy": {"name": "new", "url": "socks5://ann:secret@192.0.2.1:1080"},
    "check_proxies": {"names": ["p"]},
    "set_session_proxy": {"direct": True},
    "convert_rules": {"text": "directions:\n  - from: [1]\n    to: [2]\n", "session": "new"},
    "approve_held_messages": {},
    "reject_held_messages": {},
}
ALSO = {"retry_dead_letters": ("task:write",), "approve_held_messages": ("task:write",)}
"""Scopes that the operation needs besides, for what it calls."""
UNMET = {
    # With the scope these are refused for what they are about, not for who asks.
    "add_session": 422,
    "give_login": 422,
    "answer_sign_in": 422,
    "remove_user": 409,
    "accept_audit": 422,
    "retry_task": 409,
    "resume_task": 409,
    "cancel_batch": 404,
    "decide_doubts": 404,
}


@pytest.fixture(scope="module")
def things(api: TestedApi) -> dict[str, str]:
    """What the paths of the schema name, all of it bob's."""
    found = sessions.pause(api.context, "a-1").control
    control = sessions.pause(api.context, "b-1").control
    assert found and control
    rule = api.get("/api/v1/rules", params={"session": "b-1"}).json()["items"][0]["id"]
    add_dead_letters(rule)
    [held] = add_held_messages(api.servers.vault(), rule, "hello")
    api.token("user:read")
    # A change of bob's sessions that does not go on: nothing makes its steps here.
    bulk = session_changes.create(
        NewChange(0, "token:bob", "bob", "pause", "", "", ("b-1",), 1, None)
    )
    check = TaskRequest(kind="session.check", user="bob")
    [task] = task_requests.submit(api.context, check).ids
    schedules.add(api.context, "nightly", "0 3 * * *", check)
    webhooks.add(api.context, "hook", "https://example.org/", owner="bob")
    # Nothing listens there: a check of it ends at once.
    proxies.add(api.context, "p", "http://127.0.0.1:1", requires={})
    return {
        "/users/{name}": "bob",
        "/session-changes/{change_id}": str(bulk),
        "/sessions/{name}": "b-1",
        "/workers/{name}": "w1",
        "/tokens/{name}": "t0",
        "/rules/{rule_id}": str(rule),
        "/held-messages/{held_id}": str(held),
        "/controls/{control_id}": str(control),
        "/tasks/{task_id}": str(task),
        "/batches/{batch}": str(task),
        "/schedules/{name}": "nightly",
        "/queues/{name}": "default",
        "/task-kinds/{kind}": "session.check",
        "/webhooks/{name}": "hook",
        "/proxies/{name}": "p",
        "/webhook-deliveries/{delivery_id}": str(webhooks.test(api.context, "hook")),
    }


def call(api: TestedApi, things: dict[str, str], name: str, token: str) -> Any:
    method, path, _ = OPERATIONS[name]
    for pattern, value in things.items():
        prefix, _, placeholder = pattern.partition("{")
        if path.startswith(f"/api/v1{prefix}{{"):
            path = path.replace(f"{{{placeholder}", value)
    assert "{" not in path, f"say in the test what {path} is to name"
    body = {"json": BODIES[name]} if name in BODIES else {}
    dry = {} if method == "GET" else {"dry_run": "true"}
    answer = api.send(method, path, token=token, params=dry, headers={"if-match": "*"}, **body)
    check(name, answer)
    return answer


def test_every_endpoint_needs_a_scope_except_those_that_check_by_themselves() -> None:
    assert set(OPERATIONS) - set(SCOPED) == UNSCOPED
    assert len(OPERATIONS) >= 40


def test_every_endpoint_with_a_body_is_tried_with_one() -> None:
    assert {name for name, (_, _, it) in OPERATIONS.items() if "requestBody" in it} == set(BODIES)


@pytest.mark.parametrize("name", sorted(set(OPERATIONS) - {"show_health", "show_readiness"}))
def test_nothing_is_answered_without_a_valid_token(
    api: TestedApi, things: dict[str, str], name: str
) -> None:
    for token in ("", "afx_" + "0" * 12 + "_" + "A" * 43):
        answer = call(api, things, name, token)
        assert answer.status_code == 401, answer.text
        assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("name", SCOPED)
def test_an_endpoint_lets_in_its_scope_and_no_other(
    api: TestedApi, things: dict[str, str], name: str
) -> None:
    scope = OPERATIONS[name][2]["x-scope"]
    noun, _, verb = scope.partition(":")
    right = [(scope,), (f"{noun}:*",), (f"*:{verb}",), ("*",)]
    if name != "examine_installation":  # it takes a second
        for scopes in right:
            answer = call(api, things, name, api.token(*scopes, *ALSO.get(name, ())))
            wanted = UNMET.get(name, 200)
            assert answer.status_code == wanted, (scopes, answer.text)
    others = [f"{it}:{v}" for it in tokens.NOUNS for v in tokens.VERBS if f"{it}:{v}" != scope]
    for answer in (
        call(api, things, name, api.token(*others)),
        call(api, things, name, api.token(f"{noun}:{'read' if verb == 'write' else 'write'}")),
    ):
        assert answer.status_code == 403, answer.text
        assert scope in answer.json()["detail"]


@pytest.mark.parametrize("name", SCOPED)
def test_a_customers_token_reaches_nothing_of_others(
    api: TestedApi, things: dict[str, str], name: str
) -> None:
    answer = call(api, things, name, api.token("*", owner="alice"))
    lists = {"list_sessions", "list_rules", "plan_rules", "apply_rules", "export_rules"}
    lists |= {
        "change_sessions",
        "list_session_changes",
        "list_webhooks",
        "list_tasks",
        "list_schedules",
        "list_task_kinds",
        "explain_task_kind",
        "list_dead_letters",
        "count_dead_letters",
        "list_held_messages",
        "count_held_messages",
        "list_rule_figures",
        "list_rule_digests",
        "show_rule_schema",
        "convert_rules",
    }
    if not OPERATIONS[name][2]["x-owned"]:
        assert answer.status_code == 403
    elif name not in lists:
        assert answer.status_code in (403, 404) or name == "add_session", answer.text
    assert "b-1" not in answer.text.replace("There is no session 'b-1'", "")
    assert "bob" not in answer.text
    assert name != "list_schedules" or "nightly" not in answer.text


def test_a_customers_token_does_what_is_its_own(api: TestedApi, things: dict[str, str]) -> None:
    token = api.token("*", owner="alice")
    rows = api.get("/api/v1/sessions", token=token).json()["items"]
    assert [it["name"] for it in rows] == ["a-1"]
    assert api.get("/api/v1/users/alice", token=token).status_code == 200
    assert api.post("/api/v1/sessions/a-1/resume", token=token).status_code == 202
    [mine] = [
        it.id
        for it in controls.listing(api.context).rows
        if (it.session, it.kind) == ("a-1", "resume")
    ]
    assert api.get(f"/api/v1/controls/{mine}", token=token).json()["kind"] == "resume"
    found = api.get("/api/v1/search", params={"q": "b"}, token=token).json()
    assert found == []
