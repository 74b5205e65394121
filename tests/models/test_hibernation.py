"""Hibernation in SQL: who sleeps, who is awake for a short time, and who decides last."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.assignments import assign

from afx.errors import ConflictError
from models import base
from models.storage import (
    assignments,
    hibernation,
    placing,
    rules,
    sessions,
    troubles,
    users,
)
from models.storage.sessions import NewSession, SessionFilter
from models.tables import Session

NOW = datetime(2030, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(minutes=15)


def session(session_id: int) -> Session:
    found: Session = Session.get_by_id(session_id)
    return found


def row(session_id: int) -> dict[str, Any]:
    return sessions.describe(session(session_id))


def asleep(*ids: int, wakes_at: datetime = NOW) -> None:
    for it in ids:
        hibernation.request(session(it), wakes_at)


def begin(reason: str, *ids: int, wakes_at: datetime) -> None:
    """Let sessions hibernate by themselves, as they are now."""
    hibernation.begin([(it, session(it).revision, wakes_at) for it in ids], reason)


def test_a_session_that_hibernates_is_not_placed_and_its_assignment_is_to_end(
    ids: list[int],
) -> None:
    assign(ids[0])
    asleep(*ids[:2])
    assert [it.id for it in placing.unplaced(10)] == ids[2:]
    assert [it.session for it in assignments.undesired()] == [ids[0]]
    assert row(ids[0])["state"] == "assigned"
    found = row(ids[1])
    assert (found["state"], found["desired_state"], found["hibernation"], found["wakes_at"]) == (
        "hibernated",
        "hibernated",
        "requested",
        NOW,
    )
    assert [it["id"] for it in sessions.listing(SessionFilter(state="hibernated")).rows] == [ids[1]]
    assert sessions.count_by_state()["hibernated"] == 1


def test_a_session_that_is_being_removed_does_not_hibernate(ids: list[int]) -> None:
    asleep(ids[0])
    sessions.mark_removing(session(ids[0]))
    assert row(ids[0])["hibernation"] == ""
    with pytest.raises(ConflictError, match="being removed"):
        hibernation.request(session(ids[0]), NOW)
    assert hibernation.due(LATER, 10) == []
    with base.transaction():
        hibernation.wake(ids, NOW)
    assert row(ids[0])["desired_state"] == "paused"


def test_a_session_that_is_paused_does_not_hibernate(ids: list[int]) -> None:
    sessions.set_desired_state(session(ids[0]), "paused")
    with pytest.raises(ConflictError, match="paused"):
        hibernation.request(session(ids[0]), NOW)
    assert (row(ids[0])["desired_state"], row(ids[0])["hibernation"]) == ("paused", "")


def test_premium_sessions_are_due_first_and_then_the_latest(ids: list[int]) -> None:
    [gold] = sessions.create_many(users.create("bob", "premium"), [NewSession("gold", "sealed")])
    asleep(ids[0], wakes_at=NOW + timedelta(seconds=1))
    asleep(ids[1], wakes_at=NOW)
    asleep(ids[2], wakes_at=LATER)
    asleep(gold, wakes_at=NOW + timedelta(seconds=2))
    soon = NOW + timedelta(minutes=1)
    assert hibernation.due(soon, 10) == [gold, ids[1], ids[0]]
    assert hibernation.due(soon, 1) == [gold]


def test_a_session_that_wakes_by_schedule_is_placed_and_sleeps_again(ids: list[int]) -> None:
    asleep(ids[0])
    with base.transaction():
        hibernation.wake(ids, NOW)  # the others are not asleep
    [awake] = hibernation.awake()
    assert (awake.session, awake.reason, awake.awake_at, awake.revision) == (
        ids[0],
        "requested",
        NOW,
        2,  # of its rule
    )
    assert [it.id for it in placing.unplaced(10)] == ids
    with base.transaction():
        hibernation.sleep([(ids[0], awake.revision, LATER)])
    assert (row(ids[0])["desired_state"], row(ids[0])["wakes_at"]) == ("hibernated", LATER)
    assert hibernation.awake() == []


def test_a_session_wakes_for_what_is_due_earlier_and_not_later(ids: list[int]) -> None:
    due = int(NOW.timestamp()) + 10
    asleep(*ids, wakes_at=LATER)
    Session.update(hibernation="no_rule").where(Session.id == ids[1]).execute()
    with base.transaction():
        hibernation.wake_by([(ids[0], due), (ids[1], due), (ids[2], 2**52)])
        hibernation.wake_by([(ids[0], due + 300)])
    assert [row(it)["wakes_at"] for it in ids[:3]] == [NOW, LATER, LATER]
    rules.change(rules.find("s0/r"), enabled=True)
    hibernation.wake([ids[0]], NOW)
    with base.transaction():
        hibernation.wake_by([(ids[0], due)])
    assert row(ids[0])["wakes_at"] is None, "it is awake"


def test_a_session_whose_rules_have_changed_or_that_an_operator_woke_does_not_sleep(
    ids: list[int],
) -> None:
    asleep(*ids)
    with base.transaction():
        hibernation.wake(ids, NOW)
    revisions = {it.session: it.revision for it in hibernation.awake()}
    rules.create(session(ids[0]), ["@a"], ["@b"])
    sessions.set_desired_state(session(ids[1]), "running")
    sessions.set_desired_state(session(ids[2]), "paused")
    with base.transaction():
        hibernation.sleep([(it, revisions[it], LATER) for it in ids])
    assert [row(it)["desired_state"] for it in ids] == ["running", "running", "paused"]
    assert [row(it)["hibernation"] for it in ids] == ["requested", "", ""]


def test_an_enabled_rule_wakes_a_session_at_once_and_one_without_a_reason_for_good(
    ids: list[int],
) -> None:
    asleep(ids[0])
    with base.transaction():
        begin("no_rule", ids[1], wakes_at=LATER)
        begin("quiet", ids[2], wakes_at=LATER)
    for it in ids:
        rules.create(session(it), ["@a"], ["@b"], name="more")
    assert [row(it)["desired_state"] for it in ids] == ["running"] * 3
    assert [row(it)["hibernation"] for it in ids] == ["requested", "", ""]
    assert [it.session for it in hibernation.awake()] == ids[:1]


def test_a_session_that_never_ran_with_its_rules_is_awake_until_it_has(ids: list[int]) -> None:
    for it in ids[:2]:
        assign(it)
    base.execute("UPDATE session_assignments SET running_at = 1, revision = 2")
    rules.create(session(ids[1]), ["@a"], ["@b"], name="more")
    [idle] = sessions.create_many(users.find("alice"), [NewSession("idle", "sealed")])
    asleep(*ids, idle)
    for it in (*ids, idle):
        hibernation.wake_until_run(session(it))
    assert {it.session for it in hibernation.awake()} == {*ids[1:]}
    assert [row(it)["hibernation"] for it in ids] == ["requested"] * 3


def test_a_rule_that_is_disabled_or_only_filters_wakes_no_session(ids: list[int]) -> None:
    asleep(ids[0])
    [rule] = list(session(ids[0]).rules)
    rules.change(rule, filter={"text": "x"})
    rules.change(rule, enabled=False)
    rules.create(session(ids[0]), ["@a"], ["@b"], name="off", enabled=False)
    assert row(ids[0])["desired_state"] == "hibernated"
    hibernation.wake_for_rules([ids[0]])
    assert row(ids[0])["desired_state"] == "running"


def test_a_session_with_another_reason_that_is_awake_stays_so_with_a_rule(ids: list[int]) -> None:
    with base.transaction():
        begin("quiet", ids[0], wakes_at=NOW)
        hibernation.wake(ids[:1], NOW)
    rules.create(session(ids[0]), ["@a"], ["@b"], name="more")
    assert (row(ids[0])["desired_state"], row(ids[0])["hibernation"]) == ("running", "")
    assert hibernation.awake() == []


def test_sessions_that_are_paused_or_hibernate_do_not_begin_by_themselves(ids: list[int]) -> None:
    asleep(ids[0])
    sessions.set_desired_state(session(ids[1]), "paused")
    with base.transaction():
        begin("quiet", *ids, wakes_at=LATER)
    assert [row(it)["hibernation"] for it in ids] == ["requested", "", "quiet"]
    assert row(ids[0])["wakes_at"] == NOW


def test_what_ends_a_hibernation_leaves_the_session_awake(ids: list[int]) -> None:
    asleep(*ids)
    with base.transaction():
        hibernation.wake(ids[:1], NOW)
        hibernation.end(ids)  # only those that are awake
    assert [row(it)["hibernation"] for it in ids] == ["", "requested", "requested"]
    assert row(ids[0])["desired_state"] == "running"


def test_a_lost_login_ends_the_hibernation(ids: list[int]) -> None:
    asleep(ids[0])
    with base.transaction():
        hibernation.wake(ids, NOW)
        troubles.note_lost_logins([(ids[0], 9, "login lost")])
    found = row(ids[0])
    assert (found["state"], found["hibernation"]) == ("paused", "")
    assert hibernation.awake() == []


def test_sessions_that_would_sleep_beyond_their_bound_are_found(ids: list[int]) -> None:
    asleep(ids[0], wakes_at=LATER)
    asleep(ids[1], wakes_at=LATER + timedelta(hours=1))
    poll, longest = timedelta(minutes=15), timedelta(days=5)
    assert hibernation.beyond_bound(NOW, poll, longest, 10) == [ids[1]]
    with base.transaction():
        begin("no_rule", ids[2], wakes_at=NOW + timedelta(days=4))
    assert hibernation.beyond_bound(NOW, poll, longest, 10) == [ids[1]]
    before = NOW - timedelta(days=2)
    assert sorted(hibernation.beyond_bound(before, poll, longest, 10)) == ids
