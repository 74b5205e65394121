"""Proxies by the API: added, checked, given to sessions; and what is secret stays so."""

from __future__ import annotations

import json

import pytest
from support.api import TestedApi

from afx.operations import audit_log, proxy_checks, rules
from afx.telegram import proxy_check
from afx.telegram.proxy_check import Check

PROXIES = "/api/v1/proxies"
URL = "socks5://ann:hunter2@192.0.2.1:1080"


@pytest.fixture(scope="module", autouse=True)
def _some(api: TestedApi) -> None:
    for name in ("one", "two"):
        body = {"name": name, "url": URL, "pool": "eu", "requires": {"region": "eu"}}
        assert api.post(PROXIES, json=body).status_code == 201


def test_an_added_proxy_is_shown_without_what_is_secret(api: TestedApi) -> None:
    body = {"name": "new", "url": URL}
    made = api.post(PROXIES, json=body)
    assert made.status_code == 201
    assert made.headers["location"] == f"{PROXIES}/{made.json()['id']}"
    found = api.get(f"{PROXIES}/new")
    assert found.json() == made.json()
    assert (found.json()["host"], found.json()["state"]) == ("192.0.2.1", "unknown")
    details = json.dumps([it.details for it in audit_log.listing(api.context, limit=20).rows])
    for text in (made.text, found.text, api.get(PROXIES).text, details):
        assert "hunter2" not in text and "ann" not in text
    assert api.post(PROXIES, json=body).status_code == 409
    assert api.send("DELETE", f"{PROXIES}/new").status_code == 204
    assert api.get(f"{PROXIES}/new").status_code == 404


@pytest.mark.parametrize("url", ["x", "socks5://h", "ftp://h:1", "http://h:0"])
def test_what_is_no_proxy_is_refused(api: TestedApi, url: str) -> None:
    answer = api.post(PROXIES, json={"name": "bad", "url": url})
    assert answer.status_code == 422, answer.text
    assert api.get(f"{PROXIES}/bad").status_code == 404


def test_a_password_is_in_no_answer_of_a_refusal(api: TestedApi) -> None:
    answer = api.post(PROXIES, json={"name": "bad", "url": "socks5://ann:hunter2@h", "x": 1})
    assert answer.status_code == 422 and "hunter2" not in answer.text
    answer = api.post(PROXIES, json={"name": "bad", "url": "socks5://ann:hunter2@h"})
    assert answer.status_code == 422 and "hunter2" not in answer.text
    keyed = api.post(PROXIES, json={"name": "k", "url": URL}, headers={"idempotency-key": "k"})
    assert keyed.status_code == 422 and api.get(f"{PROXIES}/k").status_code == 404


def test_a_pool_is_listed_alone(api: TestedApi) -> None:
    rows = api.get(PROXIES, params={"pool": "eu", "limit": 1}).json()
    assert [it["name"] for it in rows["items"]] == ["one"]
    cursor = {"pool": "eu", "limit": 1, "cursor": rows["next"]}
    assert [it["name"] for it in api.get(PROXIES, params=cursor).json()["items"]] == ["two"]
    assert api.get(PROXIES, params={"pool": "none"}).json()["items"] == []


def test_what_a_check_finds_is_shown_and_stored(
    api: TestedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def check(_: object) -> list[Check]:
        return [Check("", 12), Check("it says no", None)]

    monkeypatch.setattr(proxy_check, "check_proxies", check)
    names = {"names": ["one", "two"]}
    dry = api.post("/api/v1/proxy-checks", json=names, params={"dry_run": "true"})
    assert dry.status_code == 200
    assert api.get(f"{PROXIES}/one").json()["state"] == "unknown"
    done = api.post("/api/v1/proxy-checks", json=names)
    assert done.json() == [
        {"name": "one", "state": "works", "milliseconds": 12, "error": ""},
        {"name": "two", "state": "fails", "milliseconds": None, "error": "it says no"},
    ]
    rows = api.get(PROXIES).json()["items"]
    assert {it["name"]: it["state"] for it in rows} == {"one": "works", "two": "fails"}


def test_more_proxies_than_a_request_checks_are_refused(
    api: TestedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy_checks, "MOST", 1)
    answer = api.post("/api/v1/proxy-checks", json={})
    assert answer.status_code == 422 and "more than the 1" in answer.json()["detail"]


def test_a_session_gets_a_proxy_keeps_it_and_connects_directly_again(api: TestedApi) -> None:
    def put(**body: object) -> dict[str, object]:
        answer = api.post("/api/v1/sessions/a-1/proxy", json=body)
        assert answer.status_code == 200, answer.text
        found: dict[str, object] = answer.json()
        return found

    assert put(proxy="one") == {
        "session": "a-1",
        "proxy": "one",
        "changed": True,
        "dry_run": False,
    }
    assert api.get("/api/v1/sessions/a-1").json()["session"]["proxy"] == "one"
    assert put(pool="eu")["changed"] is False
    assert api.send("DELETE", f"{PROXIES}/one").status_code == 409
    assert put(direct=True)["proxy"] == ""
    for body in ({}, {"proxy": "one", "pool": "eu"}, {"proxy": "one", "direct": True}):
        assert api.post("/api/v1/sessions/a-1/proxy", json=body).status_code == 422


def test_a_customer_sees_no_proxies_and_gives_none(api: TestedApi) -> None:
    token = api.token("*", owner="alice")
    assert api.get(PROXIES, token=token).status_code == 403
    body = {"proxy": "one"}
    assert api.post("/api/v1/sessions/a-1/proxy", json=body, token=token).status_code == 403
    new = {"name": "x", "user": "alice", "login": "1abc", "proxy": "one"}
    answer = api.post("/api/v1/sessions", json=new, token=token)
    assert answer.status_code in (403, 422) and "192.0.2.1" not in answer.text


def test_budgets_are_those_of_ones_own_sessions(api: TestedApi) -> None:
    assert api.get("/api/v1/sessions/a-1/budgets").json() == []
    token = api.token("*", owner="alice")
    assert api.get("/api/v1/sessions/a-1/budgets", token=token).status_code == 200
    assert api.get("/api/v1/sessions/b-1/budgets", token=token).status_code == 404


def test_secrets_of_outputs_are_revealed_to_the_owner_and_audited(api: TestedApi) -> None:
    to = ["webhook:https://example.org/in", "@mine"]
    doc = rules.add(api.context, "a-1", sources=["@a_source"], destinations=to, name="out")
    rule = rules.show(api.context, doc.path).id
    path = f"/api/v1/rules/{rule}/secrets"
    found = api.post(path, token=api.token("*", owner="alice"))
    assert [it["destination"] for it in found.json()] == to[:1]
    assert found.json() == api.post(path).json()
    assert api.post(path, token=api.token("*", owner="bob")).status_code == 404
    assert api.post(path, token=api.token("rule:read")).status_code == 403
    entry = audit_log.listing(api.context, target=f"rule/{doc.path}").rows[0]
    assert entry.action == "rule.secret"
    assert found.json()[0]["secret"] not in json.dumps(entry.details)


def test_a_file_of_another_forwarder_becomes_a_file_that_can_be_applied(api: TestedApi) -> None:
    text = "directions:\n  - from: [-1001]\n    to: [-1002]\n"
    found = api.post("/api/v1/rule-imports", json={"text": text, "session": "a-1"})
    assert found.json()["origin"] == "telemirror"
    plan = api.post("/api/v1/rules/plan", json={"text": found.json()["text"]})
    assert [it["kind"] for it in plan.json()] == ["add"]
    for wrong in ("", "x: 1", "directions: 7", "[" * 5_000):
        answer = api.post("/api/v1/rule-imports", json={"text": wrong, "session": "a-1"})
        assert answer.status_code == 422, answer.text
