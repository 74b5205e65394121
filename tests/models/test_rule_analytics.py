"""What became of messages by rule: hours, days, and what becomes of old ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from models.base import transaction
from models.storage import message_minutes, rule_analytics, rule_counts, rules, sessions, users
from models.storage.rule_analytics import DAY, HOUR
from models.storage.rule_counts import RuleCount
from models.storage.sessions import NewSession
from models.tables import RuleAnalytics

NOW = datetime.now(UTC).replace(minute=30)
TODAY = timedelta(hours=1)


@pytest.fixture
def made(database: Any) -> list[Any]:
    """Rules of alice and of bob."""
    del database
    found = []
    for name in ("alice", "bob"):
        sessions.create_many(users.create(name), [NewSession(f"of-{name}", "sealed")])
        found.append(rules.create(sessions.find(f"of-{name}"), ["@a_source"], ["@the_copies"]))
    return found


def note(*rows: RuleCount, at: datetime = NOW) -> None:
    with transaction():
        rule_analytics.note(rows, at)


def test_counts_are_added_to_their_hour_and_their_day(made: list[Any]) -> None:
    rule = made[0].id
    note(RuleCount(rule, 2, 1, 0, 1, 500, {3: 2}), RuleCount(rule, 1, latencies={4: 1}))
    note(RuleCount(rule, 5, dead=3, latencies={3: 5}))
    whole = RuleCount(rule, 8, 1, 3, 1, 500, {3: 7, 4: 1})
    [hour] = rule_analytics.series(rule, NOW - TODAY)
    assert (hour["span"], hour["count"]) == (HOUR, whole)
    assert hour["at"] == NOW.replace(minute=0, second=0, microsecond=0)
    [day] = rule_analytics.series(rule, NOW - timedelta(days=9))
    assert (day["span"], day["count"]) == (DAY, whole)
    assert rule_analytics.of_rules([rule, made[1].id], NOW - TODAY) == {rule: whole}
    assert RuleAnalytics.select().count() == 2


def test_counts_of_a_rule_that_does_not_exist_are_left_out(made: list[Any]) -> None:
    note(RuleCount(999, 1), RuleCount(made[0].id, 1))
    assert set(rule_analytics.of_rules([999, made[0].id], NOW - TODAY)) == {made[0].id}
    rules.remove(made[0])
    assert not RuleAnalytics.select().count()


def test_the_rules_that_forwarded_most_come_first_and_owners_see_their_own(
    made: list[Any],
) -> None:
    alice, bob = made
    note(RuleCount(alice.id, 1), RuleCount(bob.id, 7, latencies={1: 7}))
    found = rule_analytics.totals(NOW - TODAY)
    assert [(it["session"], it["count"].forwarded) for it in found] == [
        ("of-bob", 7),
        ("of-alice", 1),
    ]
    assert found[0]["count"].latencies == {1: 7}
    assert len(rule_analytics.totals(NOW - TODAY, most=1)) == 1
    [mine] = rule_analytics.totals(NOW - TODAY, owner="alice")
    assert mine["rule_id"] == alice.id
    assert not rule_analytics.totals(NOW - TODAY, owner="alice", session=bob.session_id)
    assert set(rule_analytics.of_rules([alice.id, bob.id], NOW - TODAY, owner="bob")) == {bob.id}


def test_all_rules_together_have_sums_and_the_latencies_of_the_busiest(
    made: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert rule_analytics.total(NOW - TODAY) == RuleCount(0)
    alice, bob = made
    note(RuleCount(alice.id, 1, 2, 3, latencies={9: 1}), RuleCount(bob.id, 7, latencies={1: 7}))
    whole = RuleCount(0, 8, 2, 3, latencies={1: 7, 9: 1})
    assert rule_analytics.total(NOW - TODAY) == whole
    assert rule_analytics.total(NOW - timedelta(days=9)) == whole
    monkeypatch.setattr(rule_analytics, "_MOST_MERGED", 1)
    assert rule_analytics.total(NOW - TODAY) == RuleCount(0, 8, 2, 3, latencies={1: 7})


def test_the_last_hour_is_an_hour_to_the_minute(made: list[Any]) -> None:
    alice, bob = (it.id for it in made)
    note(RuleCount(alice, 9, latencies={5: 9}), at=NOW - timedelta(minutes=61))
    note(RuleCount(alice, 1, 2, latencies={1: 1}), at=NOW - timedelta(minutes=59))
    note(RuleCount(bob, 4, dead=1, waits=2, waited_ms=3, latencies={1: 1, 7: 3}))
    note(RuleCount(bob, 1, latencies={7: 1}), RuleCount(999, 50))
    whole = RuleCount(0, 6, 2, 1, 2, 3, {1: 2, 7: 4})
    assert message_minutes.total(NOW - TODAY) == whole
    rules.remove(made[0])  # what was, was
    assert message_minutes.total(NOW - TODAY) == whole
    message_minutes.note(RuleCount(0, 1), NOW)
    assert message_minutes.total(NOW).forwarded == 6


def test_old_minutes_are_removed_a_few_at_a_time(made: list[Any]) -> None:
    for age in range(6):
        note(RuleCount(made[0].id, 1), at=NOW - timedelta(minutes=50 * age))
    assert message_minutes.prune(1, now=NOW) == 1
    assert message_minutes.prune(100, now=NOW) == 1
    assert message_minutes.total(NOW - timedelta(days=9)).forwarded == 4


def test_old_hours_and_days_are_removed_a_few_at_a_time(made: list[Any]) -> None:
    rule = made[0].id
    for age in range(4):
        note(RuleCount(rule, 1), at=NOW - timedelta(days=age))
    keep = timedelta(hours=30), timedelta(days=3)
    assert rule_analytics.prune(*keep, most=1, now=NOW) == 1
    assert rule_analytics.prune(*keep, most=100, now=NOW) == 2
    left = [(it.span, (NOW - it.at).days) for it in RuleAnalytics.select()]
    assert sorted(left) == [(HOUR, 0), (HOUR, 1), *((DAY, it) for it in (0, 1, 2))]


def test_latencies_are_stored_as_a_text_and_read_again() -> None:
    latencies = {0: 3, 19: 4, 7: 1}
    assert rule_counts.encode(latencies) == "0:3,7:1,19:4"
    assert rule_counts.decode("0:3,7:1,19:4") == latencies
    assert rule_counts.decode("") == {}
