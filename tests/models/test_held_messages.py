"""Messages that wait for an approval, in SQL."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from models.base import transaction, utc_now
from models.storage import held_messages, retention, rules, sessions, users
from models.storage.analytics import Retention
from models.storage.held_messages import Held, Settled
from models.storage.sessions import NewSession

SOURCE, TO = -1_000_000_000_005, -1_000_000_000_006


@pytest.fixture
def rule(database: Any) -> Any:
    del database
    owner = users.create("alice")
    sessions.create_many(owner, [NewSession(it, "sealed") for it in ("one", "two")])
    return rules.create(sessions.find("one"), ["@a_source"], ["@the_copies"])


def held(rule: Any, message: int, **fields: Any) -> Held:
    values: dict[str, Any] = {
        "session": rule.session_id,
        "rule": rule.id,
        "album": 0,
        "version": 1,
        "content": f"sealed {message}",
        "expires_at": utc_now() + timedelta(days=1),
        "event": "held",
    }
    return Held(source=SOURCE, destination=TO, message=message, **{**values, **fields})


def note(*items: Held | Settled) -> None:
    with transaction():
        held_messages.note(items)


def ended(rule: Any, state: str, *messages: int) -> Settled:
    return Settled(rule.session_id, rule.id, SOURCE, TO, messages, state)


def decide(rule: Any, state: str, *ids: int, **fields: Any) -> list[int]:
    with transaction():
        found = held_messages.decide(rule.id, state, actor="ann", ids=ids, **fields)
    return [it.message for it in found]


def states() -> dict[int, tuple[str, str]]:
    return {it["message"]: (it["state"], it["content"]) for it in held_messages.listing().rows}


def test_a_message_that_is_reported_twice_is_one_row(rule: Any) -> None:
    note(held(rule, 1), held(rule, 2))
    note(held(rule, 1))
    assert states() == {1: ("held", "sealed 1"), 2: ("held", "sealed 2")}
    assert decide(rule, "rejected", 1) == [1]
    note(held(rule, 1, version=7))
    assert states()[1] == ("rejected", ""), "it is replayed"
    assert held_messages.counts() == [
        {"rule_id": rule.id, "session": "one", "name": rule.name, "state": it, "count": 1}
        for it in ("held", "rejected")
    ]


def test_an_edit_replaces_the_content_of_what_waits_only(rule: Any) -> None:
    note(held(rule, 1), held(rule, 2), held(rule, 3))
    decide(rule, "approved", 2)
    decide(rule, "rejected", 3)
    note(*(held(rule, it, version=2, content="new", event="edited") for it in (1, 2, 3, 4)))
    assert states() == {1: ("held", "new"), 2: ("approved", "sealed 2"), 3: ("rejected", "")}
    note(*(held(rule, it, version=3, content="newer", event="again") for it in (2, 3)))
    assert states()[2] == ("held", "newer"), "it was edited after it was approved"
    assert states()[3] == ("rejected", "")


def test_what_is_deleted_or_released_waits_no_more(rule: Any) -> None:
    note(*(held(rule, it) for it in (1, 2, 3, 4)))
    decide(rule, "approved", 2, 3)
    note(ended(rule, "released", 1, 2), ended(rule, "deleted", 3, 4, 5), ended(rule, "deleted"))
    assert states() == {
        1: ("held", "sealed 1"),  # nobody has approved it
        2: ("released", ""),
        3: ("deleted", ""),
        4: ("deleted", ""),
    }


def test_a_report_about_another_sessions_rule_changes_nothing(rule: Any) -> None:
    note(held(rule, 1))
    other = sessions.find("two").id
    note(
        held(rule, 2, session=other),
        held(rule, 1, session=other, version=2, content="forged", event="again"),
        Settled(other, rule.id, SOURCE, TO, (1,), "deleted"),
    )
    assert states() == {1: ("held", "sealed 1")}


def test_all_or_some_are_decided_in_their_order_and_only_once(rule: Any) -> None:
    note(*(held(rule, it) for it in (9, 3, 5)))
    assert decide(rule, "approved", 3, 1) == [9, 5]
    assert decide(rule, "rejected", 1) == [], "it was approved"
    assert decide(rule, "approved", 1) == [9], "it is tried once more"
    assert decide(rule, "approved") == [3]
    assert decide(rule, "approved") == []
    row = held_messages.listing(state="approved", limit=1).rows[0]
    assert row["actor"] == "ann" and row["decided_at"] >= row["held_at"]


def test_the_items_of_an_album_are_decided_together(rule: Any) -> None:
    note(held(rule, 1, album=5), held(rule, 2, album=5), held(rule, 3, album=6), held(rule, 4))
    assert decide(rule, "approved", 2) == [1, 2]
    note(held(rule, 5, album=6), held(rule, 6, album=6))
    assert decide(rule, "approved", most=1) == [3]
    assert decide(rule, "approved", most=2) == [4, 5, 6]


def test_what_has_changed_since_it_was_seen_is_not_meant(rule: Any) -> None:
    note(held(rule, 1), held(rule, 2))
    seen = (utc_now() - utc_now().fromtimestamp(0, utc_now().tzinfo)) // timedelta(microseconds=1)
    note(held(rule, 2, version=2, event="edited"), held(rule, 3))
    assert held_messages.waits(rule.id, seen)
    assert decide(rule, "approved", until=seen) == [1]
    assert held_messages.waits(rule.id) and not held_messages.waits(rule.id, seen)
    [waiting] = held_messages.waiting("alice", rule.id)
    assert (waiting["count"], waiting["name"]) == (2, rule.name)
    assert decide(rule, "approved", until=waiting["until"]) == [2, 3]
    assert not held_messages.waiting() and not held_messages.waiting("bob")


def test_what_waits_for_too_long_or_is_too_much_is_rejected(
    rule: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon = utc_now() + timedelta(minutes=1)
    note(held(rule, 1, expires_at=soon), held(rule, 2), held(rule, 3, expires_at=soon))
    decide(rule, "approved", 3)
    assert not held_messages.has_expired(utc_now())
    late = soon + timedelta(seconds=1)
    assert held_messages.has_expired(late)
    with transaction():
        assert held_messages.expire(late, 10) == {f"one/{rule.name}": 1}
    assert states()[1] == ("expired", "")
    monkeypatch.setattr(held_messages, "MOST", 2)
    note(held(rule, 4), held(rule, 5))
    assert held_messages.has_expired(utc_now())
    with transaction():
        assert held_messages.expire(utc_now(), 10) == {f"one/{rule.name}": 1}
    assert [it for it, (state, _) in states().items() if state == "held"] == [4, 5]


def test_what_has_a_link_was_delivered(rule: Any) -> None:
    assert held_messages.rules_with_some([]) == set()
    note(held(rule, 1), held(rule, 2))
    decide(rule, "approved", 1)
    assert held_messages.rules_with_some([rule.id, 99]) == {rule.id}
    with transaction():
        held_messages.settle(rule.id, SOURCE, TO, [1, 3])
    assert states() == {1: ("released", ""), 2: ("held", "sealed 2")}


def test_what_is_told_once_more_changes_no_decision(rule: Any) -> None:
    note(held(rule, 1), held(rule, 1, event="edited", version=2, content="new"))
    decide(rule, "approved", 1)
    again = held(rule, 1, event="again", version=3, content="newer")
    note(again)
    assert states() == {1: ("held", "newer")}
    decide(rule, "approved", 1)
    note(held(rule, 1), again)
    assert states() == {1: ("approved", "newer")}


def test_rows_have_rules_of_users(rule: Any) -> None:
    note(held(rule, 1), held(rule, 2))
    first, second = (it["id"] for it in held_messages.listing().rows)
    assert held_messages.rules_of([first, second, 99]) == {first: rule.id, second: rule.id}
    assert held_messages.rules_of([first], "alice") == {first: rule.id}
    assert not held_messages.rules_of([first], "bob")


def test_rows_are_listed_by_rule_state_and_owner(rule: Any) -> None:
    note(held(rule, 1), held(rule, 2))
    decide(rule, "rejected", 2)
    assert [it["message"] for it in held_messages.listing(rule=rule.id, state="held").rows] == [1]
    assert not held_messages.listing(rule=rule.id + 1).rows
    assert not held_messages.listing(owner="bob").rows and not held_messages.counts("bob")
    assert len(held_messages.listing(owner="alice", ids=(1, 9)).rows) == 1
    assert len(held_messages.counts("alice", rule.id)) == 2


def test_decided_rows_leave_after_the_history_and_waiting_ones_do_not(rule: Any) -> None:
    note(held(rule, 1), held(rule, 2), held(rule, 3))
    decide(rule, "rejected", 1)
    decide(rule, "approved", 3)
    with transaction():
        assert held_messages.prune(utc_now() - timedelta(days=1), 10) == 0
    kept = retention.Kept(Retention(*[timedelta(days=1)] * 3), timedelta(seconds=-1))
    retention.maintain(kept)
    assert set(states()) == {2}, "what was approved and could not be sent for so long leaves, too"


def test_a_report_of_very_many_messages_is_taken(rule: Any) -> None:
    note(held(rule, 1), held(rule, 99_999))
    note(ended(rule, "deleted", *range(1, 100_000)))
    assert {state for state, _ in states().values()} == {"deleted"}
