"""The request of the API that a dialog shows is the one that its form means."""

from __future__ import annotations

import re
import shlex
from typing import Any

import jsonschema_rs
import pytest
from support.api import TestedApi
from support.dashboard import signed_in

from afx.api.application import application
from afx.api.dashboard.actions import ACTIONS
from afx.api.dashboard.as_request import body_of, curl_of

TARGETS = {
    "sessions": "user=alice&state=running&troubled=true",
    "dead": "1:message_gone",
    "review": "1:2",
    "doubt": "1:-1001:-1002:7",
}
FILLED = {
    "text": "one",
    "lines": "one\ntwo",
    "pairs": "",
    "yaml": "",
    "file": "",
    "secret": "",
    "check": "yes",
    "number": "7",
    "labels": "a=b c=d",
}
EXAMPLES: dict[str, tuple[str, dict[str, str], Any]] = {
    "session.add": (
        "",
        {"name": "s", "user": "u", "login": "1Bs"},
        {"name": "s", "user": "u", "login": "<Login>"},
    ),
    "session.require": ("s", {"labels": "a=b\nc=d"}, {"requires": {"a": "b", "c": "d"}}),
    "session.move": ("s", {"node": ""}, {}),
    "sessions.pause": (
        "user=alice&troubled=true",
        {"limit": "5"},
        {"verb": "pause", "filter": {"user": "alice", "troubled": True}, "limit": 5},
    ),
    "rule.set": (
        "1",
        {
            "sources": "@a\n@b",
            "destinations": "me",
            "mode": "copy",
            "filter": "contains: [x]",
            "transform": "",
            "sync": "",
            "options": "",
        },
        {
            "sources": ["@a", "@b"],
            "destinations": ["me"],
            "mode": "copy",
            "filter": {"contains": ["x"]},
            "transform": [],
            "sync": [],
            "options": {},
        },
    ),
    "rule.enable": ("1", {}, {"enabled": True}),
    "task.submit": (
        "",
        {"kind": "task.probe", "arguments": "fails=true", "every": "yes", "delay_seconds": "3"},
        {
            "kind": "task.probe",
            "arguments": {"fails": "true"},
            "every_session": True,
            "delay_seconds": 3,
        },
    ),
    "doubt.sent": (
        "1:-1001:-1002:7",
        {"sent": "9"},
        {"destination": -1001, "source": -1002, "message": 7, "sent": 9},
    ),
    "dead.drop": ("1:message_gone", {"seen": "12"}, {"reason": "message_gone", "until": 12}),
    "token.create": (
        "",
        {"name": "t", "scopes": "a:b c:d", "days": "0.5"},
        {"name": "t", "scopes": ["a:b", "c:d"], "days": 0.5},
    ),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_form_is_a_body(name: str) -> None:
    target, form, body = EXAMPLES[name]
    assert body_of(ACTIONS[name], target, form) == body


def test_the_bodies_of_all_actions_are_as_the_schema_has_them() -> None:
    document = application().openapi()
    paths = {re.sub(r"{\w+}", "{}", path): it for path, it in document["paths"].items()}
    for action in ACTIONS.values():
        target = TARGETS.get(action.name.partition(".")[0], "t")
        form = {it.name: FILLED.get(it.shape) or FILLED.get(it.kind, "") for it in action.fields}
        form |= {it.name: it.value or it.options[-1] for it in action.fields if it.options}
        body = body_of(action, target, form)
        wanted = paths[f"/api/v1{action.path}"][action.method.lower()].get("requestBody")
        if wanted is None:
            assert not body, action.name
            continue
        [content] = wanted["content"].values()
        body.pop("device", None)  # it is named only, and is an object
        schema = {**content["schema"], "components": document["components"]}
        mistakes = [str(it) for it in jsonschema_rs.validator_for(schema).iter_errors(body)]
        assert not mistakes, (action.name, body)
        known = _properties(document, content["schema"])
        assert set(body) <= known, action.name


def _properties(document: Any, schema: Any) -> set[str]:
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return set(schema["properties"])


def test_a_request_is_safe_in_a_shell_and_has_its_reason() -> None:
    hostile = "x'; rm -rf $HOME `id` \\ \"&"
    text = curl_of(ACTIONS["user.add"], "", {"name": hostile, "tier": "free"}, hostile)
    words = shlex.split(text)
    assert words[:3] == ["curl", "-X", "POST"]
    assert words[words.index("-d") + 1] == (
        '{"name": "x\'; rm -rf $HOME `id` \\\\ \\"&", "tier": "free"}'
    )
    assert words[-1].startswith("ADDRESS/api/v1/users?reason=x%27%3B%20rm")
    text = curl_of(ACTIONS["rule.apply"], "", {"text": "secret", "dry": "yes"})
    assert text.endswith("'ADDRESS/api/v1/rules/apply?dry_run=true'") and "secret" not in text


def test_a_dialog_tells_what_its_form_means_to_who_may_do_it(api: TestedApi) -> None:
    form = {"target": ["a-1", "b-1"], "node": "w1", "reason": "ticket 9"}
    path = "/actions/session.move/same"
    answer = api.post(path, data=form, headers=signed_in(api, api.token("*")), token="")
    assert answer.json()["command"].splitlines() == [
        "afx session move a-1 --to w1 --reason 'ticket 9'",
        "afx session move b-1 --to w1 --reason 'ticket 9'",
    ]
    assert (
        answer.json()["curl"]
        .splitlines()[1]
        .endswith("-d '{\"node\": \"w1\"}' 'ADDRESS/api/v1/sessions/b-1/move?reason=ticket%209'")
    )
    answer = api.post(path, data=form, headers=signed_in(api, api.token("*:read")), token="")
    assert answer.status_code == 403
