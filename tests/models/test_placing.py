"""Which sessions are to be placed, and in which order; on SQLite and on Postgres."""

from __future__ import annotations

from datetime import timedelta

from support.assignments import assign

from models import base
from models.storage import (
    assignments,
    logins,
    placing,
    queue,
    rules,
    sessions,
    troubles,
    users,
)
from models.storage.rules import NewRule
from models.storage.sessions import NewSession, SessionFilter
from models.storage.troubles import Failure


def test_a_session_without_a_node_is_unplaced_until_it_has_one(ids: list[int]) -> None:
    assert [it.id for it in placing.unplaced(10)] == ids
    assign(ids[0])
    assert [it.id for it in placing.unplaced(10)] == ids[1:]


def test_premium_sessions_come_first(ids: list[int]) -> None:
    [gold] = sessions.create_many(users.create("bob", "premium"), [NewSession("gold", "sealed")])
    rules.create_many([NewRule(gold, "r", ["-1"], ["-2"])])
    assert next(iter(placing.unplaced(10))).id == gold


def test_a_session_without_a_rule_is_not_placed(ids: list[int]) -> None:
    sessions.create_many(users.find("alice"), [NewSession("idle", "sealed")])
    assert [it.id for it in placing.unplaced(10)] == ids


def test_a_failed_session_waits_before_it_is_retried(ids: list[int]) -> None:
    with base.transaction():
        troubles.note_failures([Failure(ids[0], "no way", 1.0)])
    assert [it.id for it in placing.unplaced(10)] == ids[1:]
    with base.transaction():
        troubles.clear(ids)
    assert [it.id for it in placing.unplaced(10)] == ids


def test_a_lost_login_is_not_retried(ids: list[int]) -> None:
    with base.transaction():
        troubles.note_lost_logins([(ids[0], 9, "login lost: AuthKeyDuplicated")])
    row = sessions.listing().rows[0]
    assert (row["desired_state"], row["trouble"]) == ("paused", "login lost: AuthKeyDuplicated")


def test_a_lost_login_of_an_older_revision_pauses_nothing(ids: list[int]) -> None:
    with base.transaction():
        assert troubles.newer([(ids[0], 0), (ids[1], 9)]) == {ids[0]}
        troubles.note_lost_logins([(ids[0], 0, "login lost")])
    row = sessions.listing().rows[0]
    assert (row["desired_state"], row["trouble"]) == ("running", "")


def test_a_session_that_fails_again_and_again_is_in_quarantine(ids: list[int]) -> None:
    for times in range(1, 8):
        with base.transaction():
            troubles.note_failures([Failure(ids[0], f"no way ({times} times in a row)", 1.0)])
    assert troubles.failure_counts(ids[:2]) == {ids[0]: 7, ids[1]: 0}
    row = sessions.describe(sessions.find("s0"))
    assert (row["state"], row["trouble"]) == ("quarantined", "no way (7 times in a row)")
    [row] = sessions.listing(SessionFilter(state="quarantined")).rows
    assert row["name"] == "s0"
    sessions.set_desired_state(sessions.find("s0"), "running")
    assert sessions.describe(sessions.find("s0"))["state"] == "unplaced"


def test_placement_may_be_limited_to_some_sessions(ids: list[int]) -> None:
    assert [it.id for it in placing.unplaced(10, ids[1:])] == ids[1:]
    assert [(it.id, it.name, it.login) for it in logins.of_sessions(ids[:1])] == [
        (ids[0], "s0", "sealed")
    ]
    standing = placing.standing(ids)[ids[0]]
    assert (standing.desired_state, standing.removing, standing.has_rule, standing.waits) == (
        "running",
        False,
        True,
        "",
    )


def test_traits_tell_where_a_session_fits(ids: list[int]) -> None:
    gold = users.create("bob", "premium")
    [it] = sessions.create_many(gold, [NewSession("gold", "x")])
    sessions.set_requires(sessions.find("gold"), {"region": "eu"})
    with base.transaction():
        placing.note_active([it])
    traits = placing.traits([it, ids[0]])
    assert traits[it] == placing.Traits(True, True, frozenset({"region=eu"}))
    assert traits[ids[0]] == placing.Traits(False, False, frozenset())
    assert placing.labels_of(None) == frozenset()


def test_running_sessions_are_listed_with_their_cool_down(ids: list[int]) -> None:
    for it in ids:
        assign(it)
    with base.transaction():
        assignments.mark_running([(it, 1) for it in ids[:2]])
        placing.note_moved(ids[:1])
    rest = timedelta(minutes=30)
    assert {it.session: it.rested for it in placing.running(rest, workers=["w1"])} == {
        ids[0]: False,
        ids[1]: True,
    }
    assert placing.running(rest, "premium", workers=["w1"]) == []
    assert placing.running(rest, workers=["w2"]) == []
    assert [it.rested for it in placing.running(timedelta(0), "free", workers=["w1"])] == [
        True,
        True,
    ]
    assert placing.moved_within(timedelta(hours=1)) == 1
    assert placing.moved_within(timedelta(hours=-1)) == 0


def test_every_session_that_waits_for_placement_gets_a_turn(ids: list[int]) -> None:
    more = sessions.create_many(
        users.create("bob", "premium"),
        [NewSession(f"gold{number}", "sealed") for number in range(3)],
    )
    rules.create_many([NewRule(it, "r", ["-1"], ["-2"]) for it in more])
    seen: set[int] = set()
    beyond, rounds = 0, 0
    while rounds == 0 or beyond:
        page, beyond = placing.unplaced_in_turn(beyond, 1)
        seen |= {it.id for it in page}
        rounds += 1
    assert seen == {*ids, *more}
    assert [it.id for it in placing.unplaced_in_turn(0, 10)[0]] == [*more, *ids]


def test_waiting_sessions_keep_their_place_and_count_attempts(ids: list[int]) -> None:
    for _ in range(3):
        with base.transaction():
            queue.put_many([(ids[0], "all nodes are full")])
    [row] = queue.listing().rows
    assert (row["name"], row["attempts"]) == ("s0", 3)
    with base.transaction():
        queue.remove_many(ids)
    assert queue.count() == 0


def test_sessions_that_need_no_place_are_found_in_the_overflow(ids: list[int]) -> None:
    queue.put_many([(it, "all nodes are full") for it in ids])
    assert queue.ids() == set(ids)
    assert queue.obsolete() == []
    sessions.set_desired_state(sessions.find("s0"), "paused")
    rules.change(rules.find("s1/r"), enabled=False)
    assign(ids[2])
    assert sorted(queue.obsolete()) == ids


def test_running_sessions_are_counted_by_class_and_node(ids: list[int]) -> None:
    [gold] = sessions.create_many(users.create("bob", "premium"), [NewSession("gold", "sealed")])
    for it in (*ids, gold):
        assign(it)
    with base.transaction():
        assignments.mark_running([(it, 1) for it in (*ids[:2], gold)])
        placing.note_active([ids[0]])
    [counts] = placing.class_counts(["w1", "w2"]).values()
    assert counts == {(False, True): 1, (False, False): 1, (True, False): 1}
    assert placing.class_counts(["w2"]) == {}


def test_sessions_that_wait_are_found_by_ranges_of_ids(ids: list[int]) -> None:
    first, second, third = ids
    assign(second)
    assert placing.waiting(0, None) == [first, third]
    assert placing.waiting(first, third) == [third]
    assert placing.waiting(0, second) == [first]
    assert sessions.nth_after(0, 2) == second
    assert sessions.nth_after(first, 3) is None


def test_assignments_are_read_by_pages_and_by_session(ids: list[int]) -> None:
    for it in ids:
        assign(it)
    assert [it.session for it in assignments.active_page(0, 2)] == ids[:2]
    assert [it.session for it in assignments.active_page(ids[1], 2)] == ids[2:]
    assert [it.session for it in assignments.active_of(ids[1:2])] == ids[1:2]
