"""Held messages over the API and the dashboard: looked at, approved and rejected."""

from __future__ import annotations

import json
import re
from html import unescape
from typing import Any

import pytest
from support.api import TestedApi
from support.dashboard import act, said, signed_in
from support.held_messages import add_held_messages

from afx.operations import audit_log, reviews
from models.storage import tasks
from models.tables import HeldMessage

PATH = "/api/v1/held-messages"
OF_ALICE = "/api/v1/rules/1/held-messages"


@pytest.fixture
def ids(api: TestedApi) -> list[int]:
    """Three messages of alice's rule, and one of bob's."""
    HeldMessage.delete().execute()
    vault = api.servers.vault()
    add_held_messages(vault, 2, "for bob")
    return add_held_messages(vault, 1, "one", "two", "<b>three</b>")


@pytest.fixture
def browser(api: TestedApi, ids: list[int]) -> dict[str, str]:
    del ids
    return signed_in(api, api.token("*"))


def states(rule: int = 1) -> list[str]:
    rows = HeldMessage.select().where(HeldMessage.rule == rule).order_by(HeldMessage.id)
    return [it.state for it in rows]


def test_they_are_listed_with_what_would_be_sent(api: TestedApi, ids: list[int]) -> None:
    first = api.get(PATH, params={"limit": 1}).json()
    [bob] = first["items"]
    assert (bob["session"], bob["text"], bob["state"]) == ("b-1", "for bob", "held")
    assert "content" not in bob and "version" not in bob
    rest = api.get(PATH, params={"limit": 9, "cursor": first["next"]}).json()
    assert [it["text"] for it in rest["items"]] == ["one", "two", "<b>three</b>"]
    one = api.get(f"{PATH}/{ids[0]}").json()
    assert (one["link"], one["message"], one["rule_id"]) == ("https://t.me/c/5/1", 1, 1)
    assert one["entities"] == [{"kind": "Bold", "offset": 0, "length": 1, "url": ""}]
    assert api.get(f"{PATH}/{ids[-1] + 99}").status_code == 404
    assert not api.get(PATH, params={"state": "rejected"}).json()["items"]
    assert api.get(PATH, params={"state": "none"}).status_code == 422
    counts = api.get(f"{PATH}/counts", params={"rule": "a-1/n"}).json()
    assert [(it["state"], it["count"]) for it in counts] == [("held", 3)]


def test_what_is_approved_is_sent_by_a_task_and_what_is_rejected_by_none(
    api: TestedApi, ids: list[int]
) -> None:
    body = {"ids": ids[:2]}
    dry = api.post(f"{OF_ALICE}/approve", json=body, params={"dry_run": "true"})
    assert (dry.status_code, dry.json()["messages"], states()) == (200, 2, ["held"] * 3)
    answer = api.post(f"{OF_ALICE}/approve", json=body, params={"reason": "ticket 3"})
    assert answer.status_code == 202 and answer.json()["messages"] == 2
    [task] = answer.json()["tasks"]
    assert answer.headers["location"] == f"/api/v1/tasks/{task}"
    row = tasks.get(task)
    assert (row["kind"], row["session_name"]) == ("rule.approve", "a-1")
    [route] = json.loads(row["arguments"])["routes"]
    assert route["messages"] == [1, 2] and len(route["versions"]) == 2
    entry = audit_log.listing(api.context, target="rule/a-1/n").rows[0]
    assert (entry.action, entry.details["ids"]) == ("rule.review.approve", ids[:2])
    assert "one" not in json.dumps(entry.details)
    assert api.post(f"{OF_ALICE}/reject", json=body).status_code == 404, "it was approved"
    rejected = api.post(f"{OF_ALICE}/reject", json={}).json()
    assert rejected == {"rule": "a-1/n", "messages": 1, "tasks": [], "left": False}
    assert states() == ["approved", "approved", "rejected"]
    assert api.post(f"{OF_ALICE}/approve", json={}).status_code == 404
    assert api.post(f"{OF_ALICE}/approve", json={"ids": [ids[2]]}).status_code == 404
    assert api.get(f"{PATH}/{ids[2]}").json()["text"] == ""


def test_what_has_changed_since_it_was_seen_is_not_meant(api: TestedApi, ids: list[int]) -> None:
    [waiting] = reviews.waiting(api.context, rule="1")
    add_held_messages(api.servers.vault(), 1, "TWO", first=2, event="edited")
    answer = api.post(f"{OF_ALICE}/approve", json={"until": waiting.until})
    assert answer.json()["messages"] == 2 and states() == ["approved", "held", "approved"]
    late = {"ids": [ids[1]], "until": waiting.until}
    assert api.post(f"{OF_ALICE}/approve", json=late).status_code == 404
    assert api.get(f"{PATH}/{ids[1]}").json()["text"] == "TWO"


def test_it_takes_the_scopes_of_reviews_and_of_tasks(api: TestedApi, ids: list[int]) -> None:
    del ids
    for token in (api.token("rule:*", "task:*"), api.token("review:write")):
        assert api.post(f"{OF_ALICE}/approve", json={}, token=token).status_code == 403
        assert api.get(PATH, token=token).status_code == 403
    assert states() == ["held"] * 3
    route = {"source": -5, "destination": -6, "messages": [1], "versions": [1]}
    task = {
        "kind": "rule.approve",
        "sessions": ["a-1"],
        "arguments": {"rule": 1, "routes": [route]},
    }
    for path, more in (("tasks", {}), ("schedules", {"name": "s", "cron": "* * * * *"})):
        refused = api.post(f"/api/v1/{path}", json={**task, **more}, token=api.token("task:write"))
        assert refused.status_code == 403 and "review:write" in refused.text, refused.text
    token = api.token("review:write")
    assert api.post(f"{OF_ALICE}/reject", json={}, token=token).status_code == 200


def test_a_customer_sees_and_decides_its_own_only(api: TestedApi, ids: list[int]) -> None:
    token = api.token("*", owner="bob")
    assert [it["text"] for it in api.get(PATH, token=token).json()["items"]] == ["for bob"]
    for refused in (
        api.get(f"{PATH}/{ids[0]}", token=token),
        api.get(PATH, params={"rule": "1"}, token=token),
        api.post(f"{OF_ALICE}/approve", json={}, token=token),
        api.post("/api/v1/rules/2/held-messages/approve", json={"ids": ids}, token=token),
    ):
        assert refused.status_code == 404, refused.text
    mine = api.post("/api/v1/rules/2/held-messages/approve", json={}, token=token)
    assert mine.status_code == 202 and states() == ["held"] * 3


def test_a_content_of_another_message_is_not_shown(api: TestedApi, ids: list[int]) -> None:
    other = HeldMessage.get_by_id(ids[1])
    HeldMessage.update(content=other.content).where(HeldMessage.id == ids[0]).execute()
    found = api.get(f"{PATH}/{ids[0]}").json()
    assert (found["text"], found["problem"]) == ("", "its content cannot be read")


def test_the_page_shows_texts_and_its_dialogs_decide(
    api: TestedApi, ids: list[int], browser: dict[str, str]
) -> None:
    page = api.get("/reviews", headers=browser, token="").text
    assert "4 messages of 2 rules wait for an approval" in page
    assert "&lt;b&gt;three&lt;/b&gt;" in page and "<b>three" not in page
    target = f"1:{ids[1]}"
    text, seen = dialog(api, browser, "review.approve", target)
    assert "Message 2 of rule a-1/n: two" in text
    assert "Approve message 2 of a-1/n</h2>" in text
    assert f"afx rule review approve 1 --id {ids[1]}" in text
    assert f'{{"ids": [{ids[1]}], "until": {seen}}}' in text
    unseen = act(api, browser, "review.approve", target=target)
    assert "was not shown" in said(api, browser, unseen)
    approved = act(api, browser, "review.approve", target=target, seen=seen)
    assert "1 messages of rule a-1/n are sent (task" in said(api, browser, approved)
    text, seen = dialog(api, browser, "review.reject", "1")
    assert "2 messages of rule a-1/n wait for an approval." in text
    assert "Reject a-1/n</h2>" in text
    add_held_messages(api.servers.vault(), 1, "late", first=9)
    answer = act(api, browser, "review.reject", target="1", seen=seen)
    assert "2 messages of rule a-1/n were rejected" in said(api, browser, answer)
    assert states() == ["rejected", "approved", "rejected", "held"]
    again = act(api, browser, "review.reject", target="1", seen=seen)
    assert "No message of rule a-1/n waits" in said(api, browser, again)
    assert "has a number" in said(api, browser, act(api, browser, "review.reject", target="x:1"))
    page = api.get("/reviews?state=approved&rule=1", headers=browser, token="").text
    assert "for bob" not in page and "two" in page
    assert (
        "No held message matches"
        in api.get("/reviews?state=expired", headers=browser, token="").text
    )


def dialog(api: TestedApi, browser: dict[str, str], name: str, target: str) -> tuple[str, Any]:
    query = {"target": target}
    page = api.get(f"/actions/{name}", params=query, headers=browser, token="").text
    found = re.search(r'name="seen" value="(\d+)"', page)
    assert found, page
    return unescape(page), found[1]


def test_a_person_who_may_not_read_contents_decides_without_them(
    api: TestedApi, ids: list[int]
) -> None:
    browser = signed_in(api, api.token("review:write", "task:write", "session:read"))
    text, _ = dialog(api, browser, "review.reject", f"1:{ids[0]}")
    assert "Message 1 of rule a-1/n" in text and ": one" not in text
    assert api.get("/reviews", headers=browser, token="").status_code == 403
