"""Dead letters in SQL."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest

from models.base import execute, micros, transaction, utc_now
from models.storage import dead_letters, rules, sessions, users
from models.storage.dead_letters import Undelivered
from models.storage.sessions import NewSession

SOURCE, TO = -1_000_000_000_005, -1_000_000_000_006


@pytest.fixture
def rule(database: Any) -> Any:
    del database
    owner = users.create("alice")
    sessions.create_many(owner, [NewSession(it, "sealed") for it in ("one", "two")])
    return rules.create(sessions.find("one"), ["@a_source"], ["@the_copies"])


def note(rule: Any, *messages: int, reason: str = "message_gone", **fields: Any) -> None:
    values: dict[str, Any] = {"session": rule.session_id, "rule": rule.id, **fields}
    with transaction():
        dead_letters.note(
            [Undelivered(source=SOURCE, destination=TO, messages=messages, reason=reason, **values)]
        )


def stored() -> list[tuple[str, str, int]]:
    return [(it["reason"], it["messages"], it["count"]) for it in dead_letters.listing().rows]


def test_neighbouring_dead_letters_of_a_route_and_reason_are_one_row(rule: Any) -> None:
    note(rule, 1, 2, 3)
    note(rule, 9, 255, error="MSG_ID_INVALID", attempts=4)
    note(rule, 256)
    assert stored() == [("message_gone", "1-3,9,255", 5), ("message_gone", "256", 1)]
    row = dead_letters.listing().rows[0]
    assert (row["session"], row["name"], row["error"], row["attempts"]) == (
        *("one", "rule-1", "MSG_ID_INVALID"),
        4,
    )
    assert row["first_at"] <= row["last_at"]
    assert dead_letters.count(rule.id) == 6


def test_a_message_that_is_reported_twice_counts_once_under_its_newest_reason(rule: Any) -> None:
    note(rule, 1, 2)
    note(rule, 2)
    note(rule, 2, reason="message_refused")
    assert stored() == [("message_gone", "1", 1), ("message_refused", "2", 1)]


def test_an_edit_and_a_pin_of_a_copy_may_both_be_refused(rule: Any) -> None:
    note(rule, 1, 2, reason="edit_refused")
    note(rule, 2, reason="pin_refused")
    note(rule, 1, reason="edit_refused")
    assert stored() == [("edit_refused", "1-2", 2), ("pin_refused", "2", 1)]
    note(rule, 2, reason="delete_refused")
    assert stored() == [("edit_refused", "1", 1), ("delete_refused", "2", 1)]


def test_what_is_tried_again_leaves_whatever_its_reason(rule: Any) -> None:
    note(rule, 1, 2)
    note(rule, 3, reason="message_refused")
    note(rule, 2, 3, 4, reason="")
    assert stored() == [("message_gone", "1", 1)]
    note(rule, 1, reason="")
    assert not stored()


def test_dead_letters_of_another_sessions_rule_are_neither_added_nor_removed(rule: Any) -> None:
    other = sessions.find("two").id
    note(rule, 1, session=other)
    assert not stored()
    note(rule, 1)
    note(rule, 1, session=other, reason="")
    note(rule, 1, session=other, reason="message_refused")
    assert stored() == [("message_gone", "1", 1)]
    rule.id += 1
    note(rule, 2)
    assert stored() == [("message_gone", "1", 1)]
    rule.id -= 1
    rules.remove(rule)
    assert not stored()


def test_dropped_rows_are_gone_and_counted(rule: Any) -> None:
    note(rule, 1, 2, 300)
    first, second = (it["id"] for it in dead_letters.listing(rule=rule.id).rows)
    with transaction():
        assert dead_letters.drop(rule.id + 1, [(first, "1-2")]) == 0
        assert dead_letters.drop(rule.id, [(first, "1")]) == 0, "it has changed meanwhile"
        assert dead_letters.drop(rule.id, [(first, "1-2"), (first, "1-2"), (10_000, "1")]) == 2
    assert [it["id"] for it in dead_letters.listing(reason="message_gone").rows] == [second]
    assert not dead_letters.listing(owner="bob").rows
    assert not dead_letters.listing(reason="message_refused").rows


def test_what_was_delivered_all_the_same_leaves(rule: Any) -> None:
    note(rule, 1, 2, 300)
    note(rule, 3, reason="message_refused")
    assert dead_letters.rules_with_some({rule.id, rule.id + 1}) == {rule.id}
    with transaction():
        dead_letters.settle(rule.id, SOURCE, TO + 1, [1])
        dead_letters.settle(rule.id + 1, SOURCE, TO, [1])
        dead_letters.settle(rule.id, SOURCE, TO, [])
    assert len(stored()) == 3
    with transaction():
        dead_letters.settle(rule.id, SOURCE, TO, [0, 2, 3, 4, 300])
    assert stored() == [("message_gone", "1", 1)]
    with transaction():
        dead_letters.settle(rule.id, SOURCE, TO, [1])
    assert not stored()
    assert dead_letters.rules_with_some({rule.id}) == dead_letters.rules_with_some([]) == set()


def test_ids_are_read_back_as_they_were() -> None:
    assert dead_letters.decode(dead_letters.encode({5, 1, 3, 2, 70})) == [1, 2, 3, 5, 70]


def test_dead_letters_are_counted_by_rule_and_reason(rule: Any) -> None:
    note(rule, 1, 2)
    note(rule, 3, reason="message_refused")
    counted = [(it["name"], it["reason"], it["count"]) for it in dead_letters.counts("alice")]
    assert counted == [("rule-1", "message_gone", 2), ("rule-1", "message_refused", 1)]
    assert dead_letters.counts("bob") == []


def test_what_is_reported_together_ends_as_it_does_one_after_another(rule: Any) -> None:
    chance = random.Random(7)
    items = [
        Undelivered(
            *(rule.session_id, rule.id, SOURCE, TO),
            [chance.randrange(600) for _ in range(chance.randrange(1, 9))],
            chance.choice(("message_gone", "message_refused", "")),
            attempts=chance.randrange(5),
        )
        for _ in range(300)
    ]
    for it in items:
        with transaction():
            dead_letters.note([it])
    one_by_one = [
        {name: it[name] for name in ("reason", "messages", "count")}
        for it in dead_letters.listing().rows
    ]
    with transaction():
        execute("DELETE FROM dead_letters")
        dead_letters.note(items)
    together = [
        {name: it[name] for name in ("reason", "messages", "count")}
        for it in dead_letters.listing().rows
    ]
    assert sorted(together, key=str) == sorted(one_by_one, key=str)


def test_what_is_reported_twice_is_no_new_dead_letter(rule: Any) -> None:
    def noted(reason: str, *messages: int) -> Undelivered:
        return Undelivered(rule.session_id, rule.id, SOURCE, TO, messages, reason)

    dead, again = noted("message_gone", 1, 300), noted("", 1)
    with transaction():
        assert dead_letters.note([dead, dead]) == {rule.id: 2}
        assert dead_letters.note([dead, again]) == {rule.id: 0}
        assert dead_letters.note([noted("message_gone", 1, 2)]) == {rule.id: 2}


def test_many_reports_of_one_rule_are_few_statements(
    rule: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements: list[str] = []

    def counted(statement: str, *values: Any) -> Any:
        statements.append(statement)
        return execute(statement, *values)

    monkeypatch.setattr(dead_letters, "execute", counted)
    dead = [
        Undelivered(rule.session_id, rule.id, SOURCE, TO, [it], "message_gone")
        for it in range(1_000)
    ]
    with transaction():
        dead_letters.note(dead)
    assert dead_letters.count(rule.id) == 1_000
    assert len(statements) < 10


def test_the_oldest_expire_first_and_their_rules_are_named(rule: Any) -> None:
    other = rules.create(sessions.find("two"), ["@a_source"], ["@the_copies"])
    note(rule, 1, 2, 3)
    note(rule, 9, reason="message_refused")
    note(other, 4)
    now = utc_now()
    for row, days in enumerate((5, 4, 3), 1):
        execute(
            "UPDATE dead_letters SET last_at = ? WHERE id = ?",
            *(micros(now - timedelta(days=days)), row),
        )
    before = now - timedelta(days=2)
    assert not dead_letters.has_older(now - timedelta(days=6))
    assert dead_letters.has_older(before)
    assert dead_letters.expire(before, 2) == {"one/rule-1": 4}
    assert dead_letters.expire(before, 2) == {"two/rule-1": 1}
    assert dead_letters.expire(before, 2) == {} and not stored()
