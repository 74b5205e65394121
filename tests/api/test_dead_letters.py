"""Dead letters over the API: listed, counted, tried again and dropped."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from support.api import TestedApi
from support.dead_letters import add_dead_letters

from afx.operations import audit_log
from models.storage import dead_letters, tasks

PATH = "/api/v1/dead-letters"
OF_ALICE = "/api/v1/rules/1/dead-letters"


@pytest.fixture(autouse=True)
def _letters(api: TestedApi) -> None:
    for rule in (1, 2):
        add_dead_letters(rule)


def test_they_are_listed_by_rule_and_reason_and_counted(api: TestedApi) -> None:
    first = api.get(PATH, params={"limit": 1}).json()
    assert first["items"][0]["rule_id"] == 1 and first["items"][0]["messages"] == "1-2"
    rest = api.get(PATH, params={"limit": 9, "cursor": first["next"]}).json()
    assert len(rest["items"]) == 3 and rest["next"] is None
    chosen = {"rule": "b-1/n", "reason": "message_gone"}
    [row] = api.get(PATH, params=chosen).json()["items"]
    assert (row["session"], row["name"], row["count"]) == ("b-1", "n", 1)
    counts = api.get(f"{PATH}/counts").json()
    assert [(it["rule_id"], it["reason"], it["count"]) for it in counts] == [
        (1, "destination_closed", 2),
        (1, "message_gone", 1),
        (2, "destination_closed", 2),
        (2, "message_gone", 1),
    ]
    assert len(api.get(f"{PATH}/counts", params={"rule": "2"}).json()) == 2
    assert api.get(PATH, params={"reason": "none"}).status_code == 422
    assert api.get(PATH, params={"rule": "b-1/other"}).status_code == 404


def test_they_are_tried_again_by_a_task_once_for_a_key(api: TestedApi) -> None:
    body = {"reason": "destination_closed"}
    dry = api.post(f"{OF_ALICE}/retry", json=body, params={"dry_run": "true"})
    assert (dry.status_code, dry.json()) == (200, {"messages": 2, "tasks": []})
    headers = {"idempotency-key": "dead-1"}
    answer = api.post(f"{OF_ALICE}/retry", json=body, headers=headers)
    assert answer.status_code == 202 and answer.json()["messages"] == 2
    [task] = answer.json()["tasks"]
    assert answer.headers["location"] == f"/api/v1/tasks/{task}"
    assert api.post(f"{OF_ALICE}/retry", json=body, headers=headers).json() == answer.json()
    assert (tasks.get(task)["kind"], tasks.get(task)["session_name"]) == ("rule.retry", "a-1")
    assert dead_letters.count(1) == 3, "they leave when they wait in an outbox"
    assert api.post(f"{OF_ALICE}/retry", json=body).status_code == 409  # the task is under way
    without = api.token("rule:write")
    assert api.post(f"{OF_ALICE}/retry", json=body, token=without).status_code == 403


def test_those_that_are_chosen_are_dropped_with_an_audit_entry(api: TestedApi) -> None:
    [row] = api.get(PATH, params={"rule": "2", "reason": "message_gone"}).json()["items"]
    path = "/api/v1/rules/2/dead-letters/drop"
    dry = api.post(path, json={"ids": [row["id"]]}, params={"dry_run": "true"})
    assert (dry.json(), dead_letters.count(2)) == ({"messages": 1}, 3)
    assert api.post(path, json={"ids": [row["id"]], "reason": "rule_changed"}).status_code == 404
    answer = api.post(path, json={"ids": [row["id"]]}, params={"reason": "ticket 3"})
    assert (answer.json(), dead_letters.count(2)) == ({"messages": 1}, 2)
    entry = audit_log.listing(api.context, target="rule/b-1/n").rows[0]
    assert (entry.action, entry.details["reason"]) == ("rule.dead.drop", "ticket 3")
    assert api.post(path, json={"ids": [row["id"]]}).status_code == 404
    assert api.post(path, json={"ids": ["1"]}).status_code == 422
    assert api.post(path, json={}).json() == {"messages": 2}


def test_what_has_come_since_it_was_looked_at_is_not_dropped(api: TestedApi) -> None:
    path = "/api/v1/rules/2/dead-letters/drop"
    api.post(path, json={})
    add_dead_letters(2)
    rows = api.get(PATH, params={"rule": "2"}).json()["items"]
    newest = max(datetime.fromisoformat(it["last_at"]) for it in rows)
    until = (newest - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    add_dead_letters(2, first=200)  # into the same rows
    add_dead_letters(2, first=900)
    assert api.post(path, json={"until": until}).status_code == 404
    add_dead_letters(2, first=2_000)
    assert api.post(path, json={"until": until + 60_000_000}).json() == {"messages": 12}


def test_a_customer_sees_and_drops_its_own_only(api: TestedApi) -> None:
    token = api.token("*", owner="bob")
    found = api.get(PATH, token=token).json()["items"]
    assert found and {it["session"] for it in found} == {"b-1"}
    assert {it["session"] for it in api.get(f"{PATH}/counts", token=token).json()} == {"b-1"}
    for refused in (
        api.get(PATH, params={"rule": "1"}, token=token),
        api.get(f"{PATH}/counts", params={"rule": "a-1/n"}, token=token),
        api.post(f"{OF_ALICE}/drop", json={}, token=token),
        api.post(f"{OF_ALICE}/retry", json={}, token=token),
    ):
        assert refused.status_code == 404, refused.text
    mine = api.post("/api/v1/rules/2/dead-letters/retry", json={}, token=token)
    assert mine.status_code == 202 and mine.json()["messages"] == 3
