"""Actions of pages that make things: sessions, proxies, tasks, schedules, files of rules."""

from __future__ import annotations

import json
import re
from html import unescape

import pytest
from support.api import TestedApi
from support.dashboard import act, said, signed_in
from telethon.crypto import AuthKey
from telethon.sessions import StringSession

from afx.api.dashboard.actions import ACTIONS
from afx.operations import audit_log, proxies, proxy_checks, rules, schedules, sessions, tasks
from afx.operations.context import Context
from afx.operations.proxy_checks import CheckedProxy

URL = "socks5://ann:hunter2@192.0.2.1:1080"


def _login(letter: str) -> str:
    session = StringSession()
    session.set_dc(2, "149.154.167.51", 443)
    session.auth_key = AuthKey(letter.encode() * 256)
    return str(session.save())


@pytest.fixture(scope="module")
def browser(api: TestedApi) -> dict[str, str]:
    return signed_in(api, api.token("*"))


def test_a_proxy_is_added_and_its_password_is_nowhere(
    api: TestedApi, browser: dict[str, str]
) -> None:
    dialog = api.get("/actions/proxy.add", headers=browser, token="").text
    assert 'type="password" id="f-url"' in dialog and "afx proxy add" in dialog
    form = {"name": "eu-1", "url": URL, "pool": "eu", "requires": "region=eu\r\nexit=a"}
    answer = act(api, browser, "proxy.add", **form)
    assert "proxy eu-1 is added" in said(api, browser, answer).lower()
    assert proxies.show(api.context, "eu-1").requires == {"region": "eu", "exit": "a"}
    page = api.get("/proxies", headers=browser, token="").text
    assert "192.0.2.1:1080" in page and "region=eu" in page and "hunter2" not in page
    refused = act(api, browser, "proxy.add", name="bad", url="socks5://ann:hunter2@h")
    assert "hunter2" not in said(api, browser, refused)


def test_a_check_of_a_proxy_says_what_it_found(
    api: TestedApi, browser: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(_: Context, names: list[str]) -> list[CheckedProxy]:
        [name] = names
        bad = name == "bad"
        return [CheckedProxy(name, "x", None if bad else 12, "it says no" if bad else "")]

    monkeypatch.setattr(proxy_checks, "check", check)
    answer = act(api, browser, "proxy.check", target="eu-1")
    assert "Telegram answers through eu-1 after 12 ms" in said(api, browser, answer)
    assert "1 of 1 fail; bad: it says no" in said(
        api, browser, act(api, browser, "proxy.check", target="bad")
    )


def test_a_session_is_given_a_proxy_and_connects_directly_again(
    api: TestedApi, browser: dict[str, str]
) -> None:
    proxies.add(api.context, "one", URL, requires={})
    dialog = unescape(api.get("/actions/session.proxy?target=a-1", headers=browser, token="").text)
    assert "afx session set a-1" in dialog
    answer = act(api, browser, "session.proxy", target="a-1", proxy="one")
    assert "connects through proxy one" in said(api, browser, answer)
    assert "through one" in api.get("/sessions/a-1", headers=browser, token="").text
    answer = act(api, browser, "proxy.remove", target="one", typed="one", back="/proxies")
    assert "is that of a-1" in said(api, browser, answer)
    answer = act(api, browser, "session.proxy", target="a-1", direct="yes")
    assert "connects directly" in said(api, browser, answer)
    answer = act(api, browser, "proxy.remove", target="one", typed="one")
    assert "is removed" in said(api, browser, answer)
    assert "Give one of" in said(api, browser, act(api, browser, "session.proxy", target="a-1"))


def test_a_session_is_not_imported_by_what_is_no_login(
    api: TestedApi, browser: dict[str, str]
) -> None:
    form = {"name": "made", "user": "alice", "login": "1secret-of-a-login"}
    answer = said(api, browser, act(api, browser, "session.add", **form))
    assert answer.startswith("crit") and "secret" not in answer
    assert [it.name for it in sessions.listing(api.context).rows] == ["a-1", "b-1"]


def test_a_task_is_submitted_with_arguments_for_sessions(
    api: TestedApi, browser: dict[str, str]
) -> None:
    form = {"kind": "session.check", "sessions": "a-1\r\nb-1", "priority": "high"}
    answer = act(api, browser, "task.submit", **form)
    assert "2 tasks, batch" in said(api, browser, answer)
    found = tasks.listing(api.context).rows
    assert {(it.session, it.priority) for it in found} == {("a-1", "high"), ("b-1", "high")}
    answer = act(api, browser, "task.submit", kind="task.probe", arguments="fails=true")
    assert "task.probe is queued" in said(api, browser, answer)
    newest = tasks.listing(api.context).rows[0].id
    assert (tasks.show(api.context, newest).arguments or {})["fails"] is True
    answer = act(api, browser, "task.submit", kind="task.probe", arguments="nothing=1")
    assert said(api, browser, answer).startswith("crit")


def test_a_schedule_is_added(api: TestedApi, browser: dict[str, str]) -> None:
    form = {"name": "nightly", "cron": "0 3 * * *", "kind": "task.probe", "overlap": "queue"}
    assert "its first time is" in said(api, browser, act(api, browser, "schedule.add", **form))
    [row] = schedules.listing(api.context).rows
    assert (row.kind, row.overlap) == ("task.probe", "queue")
    form |= {"name": "bad", "cron": "never"}
    assert said(api, browser, act(api, browser, "schedule.add", **form)).startswith("crit")


def test_a_file_of_rules_is_looked_at_and_applied(api: TestedApi, browser: dict[str, str]) -> None:
    text = "rules:\n- {session: a-1, name: made, from: '@here', to: ['@there', 'file:a.jsonl']}\n"
    page = unescape(api.get("/rules", headers=browser, token="").text)
    assert "/actions/rule.apply" in page and "/api/v1/rules/export" in page
    dialog = unescape(api.get("/actions/rule.apply", headers=browser, token="").text)
    assert "afx rule apply -f - --dry-run < FILE" in dialog
    answer = act(api, browser, "rule.apply", text=text, dry="yes")
    assert "nothing was changed; 1 to add: a-1/made" in said(api, browser, answer).lower()
    assert len(rules.listing(api.context, session="a-1").rows) == 1
    assert (
        "done; 1 to add" in said(api, browser, act(api, browser, "rule.apply", text=text)).lower()
    )
    assert rules.show(api.context, "a-1/made").destinations == ["@there", "file:a.jsonl"]
    answer = act(api, browser, "rule.apply", text=text)
    assert "nothing differs" in said(api, browser, answer)
    answer = act(api, browser, "rule.apply", text="rules: 7")
    assert said(api, browser, answer).startswith("crit")


def test_a_rule_is_made_and_its_page_says_what_it_does(
    api: TestedApi, browser: dict[str, str]
) -> None:
    form = {
        "session": "a-1",
        "sources": "@first",
        "destinations": "webhook:https://example.org/in",
        "mode": "copy",
        "name": "whole",
        "filter": "contains: [bitcoin]",
        "transform": "- footer: from {link}",
        "sync": "[edits]",
        "options": "{dedupe: 6h}",
    }
    assert said(api, browser, act(api, browser, "rule.add", **form)).startswith("ok")
    rule = rules.show(api.context, "a-1/whole")
    assert rule.options == {"dedupe": 21_600} and rule.sync == ["edits"]
    page = unescape(api.get(f"/rules/{rule.id}", headers=browser, token="").text)
    for words in ("Only if all of this is true:", "bitcoin", "footer", "follow edits", "6h"):
        assert words in page, words
    assert f"/actions/rule.secret?target={rule.id}" in page
    answer = act(api, browser, "rule.secret", target=str(rule.id))
    assert "webhook:https://example.org/in" in said(api, browser, answer)
    entry = audit_log.listing(api.context, target="rule/a-1/whole").rows[0]
    assert entry.action == "rule.secret"
    page = api.get("/rules/1", headers=browser, token="").text
    assert "rule.secret" not in page


def test_a_session_is_added_with_its_device_which_is_shown_to_nobody(
    api: TestedApi, browser: dict[str, str]
) -> None:
    device = {"device_model": "Desk", "app_id": 7, "app_hash": "ab" * 16, "x": [1]}
    body = {"name": "d-1", "user": "alice", "login": _login("a"), "device": device}
    added = api.post("/api/v1/sessions", json=body)
    assert added.status_code == 201, added.text
    assert "abab" not in added.text and "Desk" not in added.text
    stored = json.loads(sessions.device_of(api.context, added.json()["session"]["id"]))
    assert (stored["model"], stored["api_id"], stored["api_hash"]) == ("Desk", 7, "ab" * 16)
    for wrong in ({}, {"device_model": 1}, {"device_model": "x", "app_id": 7}):
        refused = api.post("/api/v1/sessions", json={**body, "name": "d-2", "device": wrong})
        assert refused.status_code == 422 and "device" in refused.json()["detail"]
    form = {"name": "d-2", "user": "alice", "login": _login("b"), "device": json.dumps(device)}
    assert "d-2 is added" in said(api, browser, act(api, browser, "session.add", **form)).lower()
    number = sessions.show(api.context, "d-2").session.id
    assert json.loads(sessions.device_of(api.context, number)) == stored
    wrong_form = {**form, "name": "d-3", "login": _login("c"), "device": "{"}
    assert "no JSON" in said(api, browser, act(api, browser, "session.add", **wrong_form))


def test_rules_are_made_of_what_another_forwarder_had(
    api: TestedApi, browser: dict[str, str]
) -> None:
    route = {"con_name": "of-tgcf", "source": -1001000000001, "dest": [-1001000000002]}
    text = json.dumps({"forwards": [route]})
    form = {"text": text, "session": "a-1", "origin": ""}
    told = said(api, browser, act(api, browser, "rule.import", **form))
    assert "nothing was changed; 1 rule of tgcf: 1 to add" in told.lower()
    before = len(rules.listing(api.context, session="a-1").rows)
    told = said(api, browser, act(api, browser, "rule.import", **form, apply="yes"))
    assert "done; 1 rule of" in told.lower()
    found = rules.listing(api.context, session="a-1").rows
    assert len(found) == before + 1
    other = {**form, "text": text.replace("00002]", "00003]"), "apply": "yes"}
    refused = said(api, browser, act(api, browser, "rule.import", **other))
    assert refused.startswith("crit") and "would get other chats" in refused
    assert said(api, browser, act(api, browser, "rule.import", **other, replace="yes"))[:2] == "ok"
    wrong = said(api, browser, act(api, browser, "rule.import", **form | {"text": "x: 1"}))
    assert wrong.startswith("crit")
    for it in found[before:]:
        rules.remove(api.context, str(it.id))


def test_a_batch_is_cancelled_from_its_list(api: TestedApi, browser: dict[str, str]) -> None:
    form = {"kind": "session.check", "sessions": "a-1\r\nb-1", "delay_seconds": "600"}
    told = said(api, browser, act(api, browser, "task.submit", **form, start_within_seconds="900"))
    [batch] = re.findall(r"batch (\d+)", told)
    page = api.get(f"/tasks?batch={batch}", headers=browser, token="").text
    assert f"/actions/batch.cancel?target={batch}" in page
    told = said(api, browser, act(api, browser, "batch.cancel", target=batch))
    assert f"2 tasks of batch {batch} are cancelled" in told.lower()
    assert {it.state for it in tasks.listing(api.context, batch=int(batch)).rows} == {"cancelled"}
    for field in ("delay_seconds", "start_within_seconds"):
        wrong = act(api, browser, "task.submit", **{**form, field: "-1"})
        assert "no whole number" in said(api, browser, wrong)


def test_no_command_of_an_action_has_what_is_secret() -> None:
    for action in ACTIONS.values():
        form = {it.name: "x-secret" for it in action.fields if it.kind in ("secret", "file")}
        text = action.as_command("", form, "")
        assert "x-secret" not in text, action.name
        assert text.endswith(" < FILE") == bool(form)


def test_a_customer_is_offered_nothing_of_proxies(api: TestedApi) -> None:
    customer = signed_in(api, api.token("*", owner="alice"))
    page = api.get("/sessions/a-1", headers=customer, token="").text
    assert not re.search(r"session\.proxy|href=\"/proxies\"", page)
    assert api.get("/proxies", headers=customer, token="").status_code == 403
