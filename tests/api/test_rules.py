"""Rules with filters and transforms over the API."""

from __future__ import annotations

from typing import Any

import pytest
from support.api import TestedApi

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
