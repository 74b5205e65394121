"""Rules in the database, on SQLite and on Postgres."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from afx.errors import UsageError
from models.base import utc_now
from models.storage import (
    hibernation,
    rules,
    sessions,
)
from models.storage.rules import NewRule


def test_a_rule_is_changed_only_where_it_differs(ids: list[int]) -> None:
    rule = rules.find("s0/r")
    before = sessions.find("s0").revision
    assert not rules.change(rule, mode="copy", enabled=True, sources=["-1"])
    assert sessions.find("s0").revision == before
    assert rules.change(rule, enabled=False)
    assert sessions.find("s0").revision == before + 1
    assert rules.for_sessions(ids[:1]) == {}
    assert [it.name for it in rules.for_sessions(ids[:1], enabled=False)[ids[0]]] == ["r"]


def test_rules_are_found_by_id_and_by_path(ids: list[int]) -> None:
    rule = rules.create(sessions.find("s0"), ["-1"], ["-3"])
    assert rule.name == "rule-2"
    assert rules.find(str(rule.id)).id == rules.find("s0/rule-2").id == rule.id
    assert rules.paths_beginning("s0/") == ["s0/r", "s0/rule-2"]
    for text in ("s0/none", "none", "999", "", "/"):
        with pytest.raises(UsageError):
            rules.find(text)
    rules.remove(rule)
    assert rules.count() == 3


def test_no_rule_gets_the_id_of_one_that_was_removed(ids: list[int]) -> None:
    gone = rules.create(sessions.find("s0"), ["-1"], ["-3"])
    rules.remove(gone)
    again = rules.create(sessions.find("s0"), ["-1"], ["-3"])
    assert again.id > gone.id
    more = [NewRule(ids[1], name, ["-1"], ["-3"]) for name in ("a", "b")]
    rules.create_many(more)
    assert [rules.find(f"s1/{it}").id - again.id for it in "ab"] == [1, 2]


def test_duplicate_rule_names_in_a_session_are_refused_together(ids: list[int]) -> None:
    with pytest.raises(UsageError, match="nothing was added"):
        rules.create_many([NewRule(ids[0], "new", [], []), NewRule(ids[0], "r", [], [])])
    assert rules.count() == 3


def test_rules_are_listed_by_session_and_by_state(ids: list[int]) -> None:
    rules.change(rules.find("s1/r"), enabled=False)
    assert [it["session"] for it in rules.listing(enabled=False).rows] == ["s1"]
    assert [it["id"] for it in rules.listing(session=sessions.find("s2")).rows] == [3]
    page = rules.listing(limit=2)
    assert [it["session"] for it in rules.listing(after=page.next).rows] == ["s2"]


def test_a_change_of_a_filter_alone_restarts_nothing(ids: list[int]) -> None:
    rule = rules.find("s0/r")
    before = sessions.find("s0").revision
    assert rules.change(rule, filter={"contains": ["a"]})
    assert sessions.find("s0").revision == before
    assert sessions.renewing(10) == {ids[0]: 1}
    sessions.note_renewed({ids[0]: 1})
    assert sessions.renewing(10) == {}
    assert rules.change(rules.find("s0/r"), transform=[{"footer": "x"}])
    assert sessions.renewing(10) == {ids[0]: 2}
    assert rules.change(rules.find("s0/r"), sync=["edits"])
    assert not rules.change(rules.find("s0/r"), sync=["edits"])
    assert rules.change(rules.find("s0/r"), options={"dedupe": 60})
    assert rules.find("s0/r").options == {"dedupe": 60}
    assert sessions.renewing(10) == {ids[0]: 4}
    sessions.note_renewed({ids[0]: 4})
    sessions.renew_all()
    assert sessions.renewing(10) == {ids[0]: 4}
    assert rules.change(rules.find("s0/r"), filter={}, enabled=False)
    assert sessions.find("s0").revision == before + 1, "it was the last one"


def test_the_edges_of_enabled_rules_are_those_of_the_owner(ids: list[int]) -> None:
    rules.change(rules.find("s1/r"), enabled=False)
    edges = [(session, name, *chats) for session, name, *chats, _ in rules.enabled_edges()]
    assert edges == [("s0", "r", ["-1"], ["-2"]), ("s2", "r", ["-1"], ["-2"])]
    assert list(rules.enabled_edges(owner="bob")) == []


def test_a_page_of_rules_has_values_of_pythons_types(ids: list[int]) -> None:
    for row in (*rules.listing().rows, *rules.listing(session=sessions.find("s0")).rows):
        assert row["enabled"] is True
        assert (row["filter"], row["transform"], row["sources"]) == ({}, [], ["-1"])
        assert (row["sync"], row["options"]) == ([], {})


def told(name: str) -> tuple[int, int]:
    """Return a session's revision, and how often its node was to be told of its rules."""
    session = sessions.find(name)
    return session.revision, session.content


def test_what_comes_and_goes_of_rules_restarts_no_session_that_runs(ids: list[int]) -> None:
    revision, content = told("s0")
    rule = rules.create(sessions.find("s0"), ["-5"], ["-6"], name="new")
    assert told("s0") == (revision, content + 1)
    assert rules.change(rule, sources=["-7", "-5"], destinations=["-6", "-8"], sync=["edits"])
    assert told("s0") == (revision, content + 2)
    changes: list[dict[str, Any]] = [
        {"enabled": False},
        {"sources": ["-9"]},
        {"enabled": True, "sources": ["-1"], "destinations": ["-2"]},
        {"sources": ["-7"]},
        {"mode": "forward"},
    ]
    for number, change in enumerate(changes, 3):
        assert rules.change(rules.find("s0/new"), **change)
        assert told("s0") == (revision, content + number)
    rules.remove(rules.find("s0/new"))
    assert told("s0") == (revision, content + 8)


@pytest.mark.parametrize("is_removed", [True, False])
def test_a_session_restarts_without_its_last_rule(ids: list[int], is_removed: bool) -> None:
    rule = rules.create(sessions.find("s0"), ["-5"], ["-6"], name="off", enabled=False)
    revision, content = told("s0")
    if is_removed:
        rules.remove(rules.find("s0/r"))
    else:
        rules.change(rules.find("s0/r"), enabled=False)
    assert told("s0") == (revision + 1, content)
    assert rules.change(rule, enabled=True)
    assert told("s0") == (revision + 2, content)


@pytest.mark.parametrize("state", ["no rule", "paused", "hibernated", "awake for a short time"])
def test_a_session_that_may_sleep_gets_a_new_revision_with_a_rule(
    ids: list[int], state: str
) -> None:
    """Else it could fall asleep before it has run with the rule, whose chats begin only then."""
    session = sessions.find("s0")
    if state == "no rule":
        rules.remove(rules.find("s0/r"))
    elif state == "paused":
        sessions.set_desired_state(session, "paused")
    else:
        hibernation.request(session, utc_now() + timedelta(hours=1))
        if state != "hibernated":
            hibernation.wake_for_rules([session.id])
    revision, content = told("s0")
    rules.create(sessions.find("s0"), ["-5"], ["-6"], name="new")
    assert told("s0") == (revision + 1, content)


def test_a_session_that_has_still_to_be_told_of_rules_is_not_put_to_sleep(ids: list[int]) -> None:
    rules.create(sessions.find("s0"), ["-5"], ["-6"], name="new")
    revision, content = told("s0")
    for awaited in ("running", "hibernated"):
        hibernation.begin([(ids[0], revision, utc_now())], "quiet")
        assert sessions.find("s0").desired_state == awaited
        sessions.note_renewed({ids[0]: content})
