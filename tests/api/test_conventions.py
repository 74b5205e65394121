"""How the API answers: pages, versions, repetitions, problems."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import pytest
from structlog.testing import capture_logs
from support.api import TestedApi
from support.conformance import OPERATIONS, SCHEMA

from afx.api.application import application
from afx.api.routes.requested import Answer
from afx.operations import audit_log, controls, users
from afx.operations.waiting import Progress
from models.base import transaction
from models.storage import controls as stored_controls
from models.storage import workers
from models.storage.workers import Seen


def test_pages_follow_each_other_to_the_end(api: TestedApi) -> None:
    for name in ("p-1", "p-2", "p-3"):
        users.add(api.context, name, "premium")
    seen: list[str] = []
    cursor: dict[str, Any] = {}
    while True:
        answer = api.get("/api/v1/users", params={"tier": "premium", "limit": 2, **cursor}).json()
        seen += [it["name"] for it in answer["items"]]
        if answer["next"] is None:
            break
        cursor = {"cursor": answer["next"]}
    assert seen == ["p-1", "p-2", "p-3"]


def test_a_cursor_is_good_for_its_list_and_filters_only(api: TestedApi) -> None:
    cursor = api.get("/api/v1/users", params={"limit": 1}).json()["next"]
    assert api.get("/api/v1/users", params={"limit": 5, "cursor": cursor}).status_code == 200
    other = api.token("user:read", owner="")
    assert api.get("/api/v1/users", params={"cursor": cursor}, token=other).status_code == 200
    for path, params in (
        ("/api/v1/sessions", {}),
        ("/api/v1/users", {"tier": "free"}),
    ):
        answer = api.get(path, params={**params, "cursor": cursor})
        assert (answer.status_code, answer.json()["type"]) == (400, "urn:afx:problem:bad-cursor")


SORTED = {
    "/api/v1/sessions": ("session", "name", "-name", "id", "-id"),
    "/api/v1/users": ("user", "name", "-name", "id", "-id"),
    "/api/v1/rules": ("rule", "id", "-id"),
    "/api/v1/audit": ("audit", "id", "-id"),
    "/api/v1/controls": ("control", "id", "-id"),
    "/api/v1/tasks": ("task", "id", "-id"),
    "/api/v1/overflow": ("overflow", "name", "-name", "since", "-since"),
    "/api/v1/dead-letters": ("rule dead", "id", "-id", "last_at", "-last_at"),
}


@pytest.mark.parametrize("path", SORTED)
def test_a_list_has_the_orders_that_the_schema_says_and_its_cursor_is_good_for_one(
    api: TestedApi, path: str
) -> None:
    known = [it for it in SCHEMA["paths"][path]["get"]["parameters"] if it["name"] == "sort"]
    assert known[0]["schema"]["enum"] == list(SORTED[path][1:])
    for sort in SORTED[path][1:]:
        answer = api.get(path, params={"sort": sort})
        found = [it[sort.removeprefix("-")] for it in answer.json()["items"]]
        assert answer.status_code == 200
        assert found == sorted(found, reverse=sort.startswith("-"))
    assert api.get(path, params={"sort": "login"}).status_code == 422
    if cursor := api.get(path, params={"sort": "-id", "limit": 1}).json().get("next"):
        for params in ({}, {"sort": "id"}):
            answer = api.get(path, params={**params, "cursor": cursor})
            assert answer.json()["type"] == "urn:afx:problem:bad-cursor"
        more = api.get(path, params={"sort": "-id", "cursor": cursor, "limit": 1})
        assert more.status_code == 200 and more.json()["items"]


@pytest.mark.parametrize("change", ["x", "é", "A" * 999, "", "=", "AAAA"])
def test_a_cursor_that_was_tampered_with_is_refused(api: TestedApi, change: str) -> None:
    cursor = api.get("/api/v1/users", params={"limit": 1}).json()["next"]
    texts = {change, cursor + change if change else cursor[:-1], change + cursor[1:]}
    for text in texts - {cursor}:  # it may begin with the change by chance
        answer = api.get("/api/v1/users", params={"cursor": text})
        assert answer.status_code in (400, 422), (text, answer.text)


def test_a_change_needs_the_version_that_it_changes(api: TestedApi) -> None:
    path = "/api/v1/users/alice"
    version = api.get(path).headers["etag"]
    assert api.get(path, headers={"if-none-match": version}).status_code == 304
    body = {"tier": "premium"}
    assert api.send("PATCH", path, json=body).status_code == 428
    wrong = api.send("PATCH", path, json=body, headers={"if-match": '"x"'})
    assert (wrong.status_code, wrong.json()["type"]) == (412, "urn:afx:problem:changed")
    assert api.get(path).json()["tier"] == "free"
    right = api.send("PATCH", path, json=body, headers={"if-match": version})
    assert (right.status_code, right.json()["tier"]) == (200, "premium")
    assert right.headers["etag"] == api.get(path).headers["etag"] != version
    assert api.send("PATCH", path, json=body, headers={"if-match": version}).status_code == 412


def test_a_request_with_a_key_is_carried_out_once(api: TestedApi) -> None:
    headers = {"idempotency-key": "k-1"}
    first = api.post("/api/v1/users", json={"name": "once"}, headers=headers)
    second = api.post("/api/v1/users", json={"name": "once"}, headers=headers)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json() and second.headers["idempotent-replayed"] == "true"
    assert first.headers["location"] == second.headers["location"]
    other = api.post("/api/v1/users", json={"name": "twice"}, headers=headers)
    assert (other.status_code, other.json()["type"]) == (422, "urn:afx:problem:key-reused")
    assert api.get("/api/v1/users/twice").status_code == 404
    token = api.token("*:write", "*:read")
    again = api.post("/api/v1/users", json={"name": "once"}, headers=headers, token=token)
    assert again.status_code == 409  # keys belong to a token


@pytest.mark.parametrize("key", ["a b", "", "x" * 101, "\u00e9"])
def test_a_key_is_of_the_form_that_the_schema_says(api: TestedApi, key: str) -> None:
    headers = {b"idempotency-key": key.encode()}
    answer = api.post("/api/v1/users", json={"name": "nobody"}, headers=headers)
    assert answer.status_code == 422
    assert api.get("/api/v1/users/nobody").status_code == 404


def test_a_dry_run_is_in_the_schema_of_every_change() -> None:
    for path, methods in application().openapi()["paths"].items():
        for method, it in methods.items():
            if method != "get" and path.startswith("/api/"):
                assert "200" in it["responses"], f"{method} {path}"


def test_each_answer_is_described_in_the_schema() -> None:
    """The framework describes none of those whose class has no media type: it left out most."""
    for path, methods in application().openapi()["paths"].items():
        for method, it in methods.items():
            for status, answer in it["responses"].items():
                described = bool(answer.get("content"))
                assert described == (status not in ("204", "304")), f"{method} {path} {status}"


def test_each_body_has_an_example_that_the_schema_allows() -> None:
    for name, (_, _, operation) in OPERATIONS.items():
        for content in operation.get("requestBody", {}).get("content", {}).values():
            schema = {**content["schema"], "components": SCHEMA["components"]}
            validator = jsonschema_rs.validator_for(schema, validate_formats=True)
            found = [str(it) for it in validator.iter_errors(content["example"])]
            assert not found, f"{name}: {content['example']}: {found}"


def test_a_secret_answer_is_not_stored_for_repetitions(api: TestedApi) -> None:
    answer = api.post(
        "/api/v1/tokens",
        json={"name": "keyed", "scopes": ["user:read"]},
        headers={"idempotency-key": "k-2"},
    )
    assert answer.status_code == 422
    assert api.get("/api/v1/tokens/keyed").status_code == 404


def test_a_dry_run_changes_nothing(api: TestedApi) -> None:
    answer = api.post("/api/v1/users", json={"name": "dry"}, params={"dry_run": "true"})
    assert (answer.status_code, answer.json()) == (200, {"dry_run": True})
    assert api.get("/api/v1/users/dry").status_code == 404
    assert api.post("/api/v1/users", json={"name": "d"}, params={"dry_run": "y"}).status_code == 422


def test_the_audit_log_names_the_token_and_the_reason(api: TestedApi) -> None:
    api.post("/api/v1/users", json={"name": "audited"}, params={"reason": "ticket 7"})
    entry = audit_log.listing(api.context, target="user/audited").rows[0]
    assert entry.actor.startswith("token:t")
    assert entry.details["reason"] == "ticket 7"


def test_the_log_joins_a_request_with_what_it_made(api: TestedApi) -> None:
    with capture_logs() as logs:
        answer = api.post("/api/v1/tasks", json={"kind": "task.probe"})
        api.post("/api/v1/tasks", json={"kind": "task.probe"}, params={"dry_run": "true"})
    [line] = [it for it in logs if it["event"] == "changed"]
    assert line["request"] == answer.headers["x-request-id"]
    assert line["place"] == answer.headers["location"] != ""
    assert line["actor"].startswith("token:")
    assert (line["what"], line["status"]) == ("POST /api/v1/tasks", 202)


def test_a_request_for_a_control_says_where_to_follow_it(api: TestedApi) -> None:
    answer = api.post("/api/v1/sessions/b-1/pause")
    assert answer.status_code == 202
    control = answer.json()["control"]
    assert answer.headers["location"] == f"/api/v1/controls/{control}"
    again = api.post("/api/v1/sessions/b-1/pause")
    assert (again.status_code, again.json()["control"]) == (200, None)
    assert "location" not in again.headers
    assert api.send("DELETE", answer.headers["location"]).json()["detail"]
    assert controls.show(api.context, control).state == "cancelled"


def test_a_request_about_a_node_names_the_controls_of_all_its_processes(api: TestedApi) -> None:
    with transaction():
        workers.seen_many(Seen(it, "one", "host", "left") for it in ("many", "many.2", "many.3"))
    answer = api.post("/api/v1/workers/many/cordon").json()
    about = [answer["control"], *answer["others"]]
    subjects = {controls.show(api.context, it).worker for it in about}
    for it in about:
        controls.cancel(api.context, it)
    for name in ("many", "many.2", "many.3"):
        workers.remove(name)
    assert subjects == {"many", "many.2", "many.3"}


@pytest.mark.parametrize(
    ("states", "state"),
    [
        (["done", "done"], "done"),
        (["done", "sent"], "sent"),
        (["done", "failed"], "failed"),
        (["failed", "acknowledged"], "acknowledged"),
    ],
)
def test_a_request_is_done_when_all_of_its_controls_are(states: list[str], state: str) -> None:
    parts = [Progress("many", number, it, it) for number, it in enumerate(states, 1)]
    answer = Answer("many", 1, "requested", "", (2,)).after(parts)
    assert (answer.control, answer.state, answer.note) == (1, state, state)


def test_a_client_that_prefers_to_wait_gets_the_end(api: TestedApi) -> None:
    headers = {"prefer": "respond-async, wait=10"}
    token = api.token("session:write", "control:read")

    async def both() -> Any:
        import asyncio

        request = asyncio.ensure_future(
            api._client.post(
                "/api/v1/sessions/a-1/move",
                json={},
                headers={**headers, "authorization": f"Bearer {token}"},
            )
        )
        while not (found := controls.listing(api.context, only_open=True).rows):
            await asyncio.sleep(0.01)
        stored_controls.mark_done(found[0].id, "moved")
        return await request

    answer = api.run(both())
    assert (answer.status_code, answer.json()["state"]) == (200, "done")
    assert answer.headers["preference-applied"] == "wait"


def test_names_are_not_abbreviated(api: TestedApi) -> None:
    assert api.get("/api/v1/sessions/a").status_code == 404
    assert api.send("DELETE", "/api/v1/sessions/a").status_code == 404
    assert api.get("/api/v1/sessions/a-1").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "kind"),
    [
        ("GET", "/api/v1/users/nobody", None, 404, "not-found"),
        ("GET", "/api/v1/nothing", None, 404, "not-found"),
        ("POST", "/api/v1/users", {"name": "alice"}, 409, "conflict"),
        ("POST", "/api/v1/users", {"name": ""}, 422, "invalid"),
        ("POST", "/api/v1/users", {"name": "x", "more": 1}, 422, "invalid"),
        ("POST", "/api/v1/users", {"name": "x\ny"}, 422, "invalid"),
        ("GET", "/api/v1/users?limit=0", None, 422, "invalid"),
        ("GET", "/api/v1/controls/0", None, 422, "invalid"),
        ("POST", "/api/v1/rules/plan", {"text": "{"}, 422, "invalid"),
        ("GET", "/api/v1/events?topics=x", None, 422, "invalid"),
    ],
)
def test_a_mistake_is_a_problem_with_a_stable_type(
    api: TestedApi, method: str, path: str, body: Any, status: int, kind: str
) -> None:
    given = {} if body is None else {"json": body}
    answer = api.send(method, path, **given)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found = answer.json()
    assert (found["type"], found["status"]) == (f"urn:afx:problem:{kind}", status)
    assert found["request"] == answer.headers["x-request-id"]
    assert found["detail"]


def test_a_wrong_method_says_which_are_right(api: TestedApi) -> None:
    answer = api.send("PUT", "/api/v1/users/alice")
    assert (answer.status_code, answer.headers["allow"]) == (405, "DELETE, GET, PATCH")


def test_a_rejected_login_is_not_repeated_in_the_answer(api: TestedApi) -> None:
    secret = "1SECRETSECRET" * 100
    body = {"name": "new", "user": "alice", "login": secret}
    answer = api.post("/api/v1/sessions", json=body)
    assert answer.status_code == 422 and "SECRET" not in answer.text
    answer = api.post("/api/v1/sessions", json={**body, "login": "1SECRET"})
    assert answer.status_code == 422 and "SECRET" not in answer.text


def test_health_and_metrics_are_answered(api: TestedApi) -> None:
    assert api.get("/healthz", token="").json()["ok"] is True
    assert api.get("/readyz", token="").json()["ok"] is True
    text = api.get("/metrics").text
    assert "afx_up 1" in text and "afx_api_requests_total" in text
    assert api.get("/metrics", token=api.token("user:read")).status_code == 403


@pytest.mark.parametrize("name", ["0", "00", "999999999"])
def test_a_number_is_no_node(api: TestedApi, name: str) -> None:
    for method, path in (("GET", ""), ("POST", "/cordon"), ("DELETE", "")):
        answer = api.send(method, f"/api/v1/workers/{name}{path}")
        assert (answer.status_code, answer.json()["type"]) == (404, "urn:afx:problem:not-found")


def test_a_users_share_and_limit_are_changed_with_its_tier_or_alone(api: TestedApi) -> None:
    api.post("/api/v1/users", json={"name": "sharer"})
    path, any_version = "/api/v1/users/sharer", {"if-match": "*"}
    body = {"tier": "premium", "task_share": 3, "task_limit": 50}
    found = api.send("PATCH", path, json=body, headers=any_version).json()
    assert (found["tier"], found["task_share"], found["task_limit"]) == ("premium", 3, 50)
    version = api.get(path).headers["etag"]
    found = api.send("PATCH", path, json={"task_limit": 0}, headers={"if-match": version}).json()
    assert (found["tier"], found["task_share"], found["task_limit"]) == ("premium", 3, None)
    for wrong in ({}, {"task_share": 0}, {"task_share": 101}, {"task_limit": -1}, {"tier": "x"}):
        answer = api.send("PATCH", path, json=wrong, headers=any_version)
        assert answer.status_code == 422, answer.text


@pytest.mark.parametrize("twice", ["dry_run=true&dry_run=false", "reason=a&reason=b"])
def test_what_a_change_says_twice_is_refused(api: TestedApi, twice: str) -> None:
    answer = api.post(f"/api/v1/users?{twice}", json={"name": "twice"})
    assert answer.status_code == 422 and "given twice" in answer.json()["detail"]
    assert api.get("/api/v1/users/twice").status_code == 404


def test_any_version_that_a_client_has_is_the_one_there_is(api: TestedApi) -> None:
    answer = api.get("/api/v1/users/alice", headers={"if-none-match": "*"})
    assert answer.status_code == 304 and not answer.content


def test_a_path_with_a_slash_too_many_leads_nowhere(api: TestedApi) -> None:
    answer = api.get("/api/v1/users/", headers={"host": "evil.example"})
    assert answer.status_code == 404 and "location" not in answer.headers
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_repetition_is_no_second_line_of_the_log(api: TestedApi) -> None:
    with capture_logs() as logged:
        for _ in range(2):
            api.post("/api/v1/users", json={"name": "logged"}, headers={"idempotency-key": "l"})
    assert len([it for it in logged if it["event"] == "changed"]) == 1
