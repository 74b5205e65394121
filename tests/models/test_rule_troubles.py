"""What is wrong with single rules, on both databases."""

from __future__ import annotations

from typing import Any

from models.storage import rules, sessions, troubles, users
from models.storage.rules import NewRule
from models.storage.sessions import NewSession
from models.tables import Rule


def wrong() -> dict[int, str]:
    return {it.id: it.trouble for it in Rule.select() if it.trouble}


def test_the_trouble_of_a_rule_is_noted_of_its_own_session_alone(database: Any) -> None:
    one, two = sessions.create_many(
        users.create("alice"), [NewSession("a", "x"), NewSession("b", "x")]
    )
    rules.create_many([NewRule(it, "r", ["-1"], ["-2"]) for it in (one, two)])
    first, second = [it.id for it in Rule.select().order_by(Rule.id)]
    troubles.note_rules([(one, first, "a source cannot be read"), (one, second, "not its own")])
    assert wrong() == {first: "a source cannot be read"}
    troubles.note_rules([(one, first, "")])
    assert wrong() == {}


def test_the_troubles_of_all_rules_of_a_session_are_removed(database: Any) -> None:
    one, two = sessions.create_many(
        users.create("alice"), [NewSession("a", "x"), NewSession("b", "x")]
    )
    rules.create_many([NewRule(it, "r", ["-1"], ["-2"]) for it in (one, two)])
    first, second = [it.id for it in Rule.select().order_by(Rule.id)]
    troubles.note_rules([(one, first, "bad"), (two, second, "bad")])
    troubles.clear_rules([one])
    assert wrong() == {second: "bad"}
