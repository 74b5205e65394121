"""Rules with filters and transforms over the API."""

from __future__ import annotations

from typing import Any

import pytest
from support.api import TestedApi

from models.base import transaction
from models.storage import rule_analytics
from models.storage.rule_counts import RuleCount

ANY = {"if-match": "*"}


@pytest.fixture(scope="module")
def path(api: TestedApi) -> str:
    rule = {
        "session": "a-1",
        "sources": ["@aaaa"],
        "destinations": ["@bbbb"],
        "filter": {"contains": "yes"},
        "transform": [{"footer": "x"}],
        "sync": ["pins"],
        "options": {"dedupe": "6h"},
    }
    made = api.post("/api/v1/rules", json=rule)
    assert made.status_code == 201, made.text
    assert made.json()["filter"] == {"contains": ["yes"]}
    return f"/api/v1/rules/{made.json()['id']}"


def test_a_rule_is_changed_in_part(api: TestedApi, path: str) -> None:
    body: dict[str, Any] = {"filter": {}, "sources": ["@cccc"], "enabled": False}
    found = api.send("PATCH", path, json=body, headers=ANY).json()
    assert (found["filter"], found["sources"], found["enabled"]) == ({}, ["@cccc"], False)
    assert (found["transform"], found["destinations"]) == ([{"footer": "x"}], ["@bbbb"])
    assert (found["sync"], found["options"]) == (["pins"], {"dedupe": 21_600})
    body = {"filter": {"media": "photo"}, "transform": [], "sync": ["edits", "deletes"]}
    found = api.send("PATCH", path, json=body, headers=ANY).json()
    assert (found["filter"], found["transform"]) == ({"media": ["photo"]}, [])
    assert found["sync"] == ["edits", "deletes"]
    options: dict[str, Any] = {"dedupe": 90}
    found = api.send("PATCH", path, json={"options": options}, headers=ANY).json()
    assert found["options"] == options
    assert api.send("PATCH", path, json={"options": {}}, headers=ANY).json()["options"] == {}
    assert api.send("PATCH", path, json={"sync": []}, headers=ANY).json()["sync"] == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"filter": {"media": "film"}},
        {"filter": {"regex": "("}},
        {"transform": [{"footer": "{x}"}]},
        {"mode": "forward", "transform": [{"footer": "x"}]},
        {"sources": ["no chat"]},
        {"sync": ["replies"]},
        {"sync": ["edits"], "mode": "forward", "transform": []},
        {"options": {"dedupe": "often"}},
        {"options": {"dedup": 90}},
        {"name": "other"},
    ],
)
def test_a_wrong_change_is_refused(api: TestedApi, path: str, body: dict[str, Any]) -> None:
    before = api.get(path).json()
    answer = api.send("PATCH", path, json=body, headers=ANY)
    assert answer.status_code == 422, answer.text
    assert api.get(path).json() == before


def test_figures_of_rules_are_shown_over_a_time_and_the_busiest_first(
    api: TestedApi, path: str
) -> None:
    rule = int(path.rpartition("/")[2])
    with transaction():
        rule_analytics.note([RuleCount(rule, 9, 2, 1, 1, 1500, {4: 9})])
    found = api.get(f"{path}/figures").json()
    figures = {
        "forwarded": 9,
        "skipped": 2,
        "dead_letters": 1,
        "waits": 1,
        "waited": 1.5,
        "latency_p50": 0.012,
        "latency_p99": 0.01592,
    }
    assert (found["figures"], found["session"]) == (figures, "a-1")
    assert [(it["span"], it["figures"]) for it in found["rows"]] == [(3600, figures)]
    [day] = api.get(f"{path}/figures?hours=900").json()["rows"]
    assert day["span"] == 86_400
    busiest = {"rule_id": rule, "session": "a-1", "name": found["name"], "figures": figures}
    assert api.get("/api/v1/rule-figures?session=a-1&limit=1").json() == [busiest]
    summary = api.get("/api/v1/analytics/rules").json()
    assert busiest in summary["busiest"] and summary["rules"] >= 1


def test_a_customer_sees_figures_of_own_rules_only(api: TestedApi, path: str) -> None:
    token = api.token("rule:read", owner="bob")
    assert api.get(f"{path}/figures", token=token).status_code == 404
    found = api.get("/api/v1/rule-figures", token=token).json()
    assert all(not it["session"].startswith("a-") for it in found)
