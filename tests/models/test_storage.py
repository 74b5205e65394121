"""Storage on SQLite and on Postgres."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import peewee
import pytest
from support.databases import together

from afx.errors import ConfigError, FencedError, UnreachableError, UsageError
from models import base, tables
from models.storage import (
    assignments,
    cluster,
    cursors,
    logins,
    placing,
    queue,
    rules,
    sessions,
    troubles,
    users,
    workers,
)
from models.storage.assignments import Active
from models.storage.rules import NewRule
from models.storage.sessions import NewSession, SessionFilter
from models.storage.troubles import Failure
from models.storage.workers import Seen
from models.transitions import TransitionError


@pytest.fixture
def ids(database: Any) -> list[int]:
    """Three sessions of one user, each with a rule."""
    owner = users.create("alice")
    made = sessions.create_many(owner, [NewSession(f"s{number}", "sealed") for number in range(3)])
    rules.create_many([NewRule(it, "r", ["-1"], ["-2"]) for it in made])
    cluster.begin_generation(1)
    return made


def give(session: int, epoch: int = 1) -> None:
    with base.transaction():
        assignments.create_many([Active(session, "w1", "one", epoch, "assigned", revision=9)])


def test_a_session_without_a_node_is_unplaced_until_it_has_one(ids: list[int]) -> None:
    assert [it.id for it in placing.unplaced(10)] == ids
    give(ids[0])
    assert [it.id for it in placing.unplaced(10)] == ids[1:]


def test_premium_sessions_come_first(ids: list[int]) -> None:
    [gold] = sessions.create_many(users.create("bob", "premium"), [NewSession("gold", "sealed")])
    rules.create_many([NewRule(gold, "r", ["-1"], ["-2"])])
    assert next(iter(placing.unplaced(10))).id == gold


def test_a_session_without_a_rule_has_nothing_to_do(ids: list[int]) -> None:
    sessions.create_many(users.find("alice"), [NewSession("idle", "sealed")])
    assert [it.id for it in placing.unplaced(10)] == ids


def test_a_paused_session_is_not_placed_and_is_to_be_stopped(ids: list[int]) -> None:
    give(ids[0])
    sessions.set_desired_state(sessions.find("s0"), "paused")
    assert [it.session for it in assignments.undesired()] == [ids[0]]
    with base.transaction():
        assignments.mark_stopping([(ids[0], 1)])
    assert assignments.undesired() == []


def test_a_session_whose_rules_changed_is_to_be_started_anew(ids: list[int]) -> None:
    [placed] = [it for it in placing.unplaced(10) if it.id == ids[0]]
    with base.transaction():
        assignments.create_many(
            [Active(ids[0], "w1", "one", 1, "assigned", revision=placed.revision)]
        )
    assert assignments.undesired() == []
    rules.create(sessions.find("s0"), ["@more"], ["-2"], "copy")
    assert [it.session for it in assignments.undesired()] == [ids[0]]


def test_the_database_itself_refuses_a_second_active_assignment(ids: list[int]) -> None:
    give(ids[0], epoch=1)
    with pytest.raises(peewee.IntegrityError):
        give(ids[0], epoch=2)
    with base.transaction():
        assignments.end_many([(ids[0], 1)], "moved")
    give(ids[0], epoch=2)
    assert [(it.session, it.epoch) for it in assignments.active()] == [(ids[0], 2)]


def test_an_assignment_that_has_ended_does_not_run_again(ids: list[int]) -> None:
    give(ids[0])
    give(ids[1])
    with base.transaction():
        assignments.end_many([(ids[0], 1)], "moved")
    for step in (assignments.mark_running, assignments.mark_stopping):
        with pytest.raises(TransitionError, match="ended"), base.transaction():
            step([(ids[1], 1), (ids[0], 1)])
    assert [it.state for it in assignments.active()] == ["assigned"]


def test_a_step_that_was_taken_already_changes_nothing(ids: list[int]) -> None:
    give(ids[0])
    for _ in range(2):
        with base.transaction():
            assignments.mark_running([(ids[0], 1)])
    with base.transaction():
        assignments.mark_stopping([(ids[0], 1)])
        assignments.mark_running([(ids[0], 1)])
    assert [it.state for it in assignments.active()] == ["stopping"]
    with base.transaction():
        assignments.end_many([(ids[0], 1)], "stopped")
        assignments.end_many([(ids[0], 1)], "again")
    assert assignments.history(sessions.find("s0")).rows[0]["reason"] == "stopped"


def test_a_report_of_an_older_epoch_changes_nothing(ids: list[int]) -> None:
    give(ids[0], epoch=5)
    with base.transaction():
        assignments.mark_running([(ids[0], 4)])
        assignments.end_many([(ids[0], 4)], "late")
    assert [it.state for it in assignments.active()] == ["assigned"]


def test_a_failed_session_rests_before_it_is_tried_again(ids: list[int]) -> None:
    with base.transaction():
        troubles.note_failures([Failure(ids[0], "no way", 1.0)])
    assert [it.id for it in placing.unplaced(10)] == ids[1:]
    with base.transaction():
        troubles.clear(ids)
    assert [it.id for it in placing.unplaced(10)] == ids


def test_a_lost_login_is_not_tried_again(ids: list[int]) -> None:
    with base.transaction():
        troubles.note_lost_logins([(ids[0], "login lost: AuthKeyDuplicated")])
    held = sessions.listing().rows[0]
    assert (held["desired_state"], held["trouble"]) == ("paused", "login lost: AuthKeyDuplicated")


def test_only_the_newest_leader_writes(ids: list[int]) -> None:
    cluster.begin_generation(7)
    with pytest.raises(FencedError), base.transaction():
        cluster.hold(6)
    with pytest.raises(FencedError):
        cluster.begin_generation(6)
    with base.transaction():
        cluster.hold(7)


def test_two_leaders_never_begin_with_one_term(database: Any) -> None:
    """A Redis that failed over may have elected both with the same number."""
    assert cluster.begin_generation(7) == 1
    with pytest.raises(FencedError):
        cluster.begin_generation(7)
    with base.transaction():
        cluster.hold(7)  # the first one goes on
    assert cluster.begin_generation(8) == 2


def test_each_leader_has_a_generation_of_its_own(database: Any) -> None:
    assert [cluster.begin_generation(term) for term in (1, 2, 3)] == [1, 2, 3]


def test_what_a_fenced_leader_wrote_with_it_is_undone(ids: list[int]) -> None:
    cluster.begin_generation(9)
    with pytest.raises(FencedError), base.transaction():
        assignments.create_many([Active(ids[0], "w1", "one", 1, "assigned")])
        cluster.hold(8)
    assert assignments.active() == []


def test_waiting_sessions_keep_their_place_and_count_attempts(ids: list[int]) -> None:
    for _ in range(3):
        with base.transaction():
            queue.put_many([(ids[0], "all nodes are full")])
    [held] = queue.listing().rows
    assert (held["name"], held["attempts"]) == ("s0", 3)
    with base.transaction():
        queue.remove_many(ids)
    assert queue.count() == 0


def test_nodes_are_noted_once_by_name(database: Any) -> None:
    for incarnation in ("one", "two"):
        with base.transaction():
            workers.seen_many([Seen("w1", incarnation, "host", "ready")])
    assert [it["incarnation"] for it in workers.listing().rows] == ["two"]


def test_a_name_that_is_taken_adds_nothing(ids: list[int]) -> None:
    with pytest.raises(UsageError, match="nothing was added"):
        sessions.create_many(users.find("alice"), [NewSession("new", "x"), NewSession("s1", "x")])
    assert [it["name"] for it in sessions.listing().rows] == ["s0", "s1", "s2"]
    with pytest.raises(UsageError, match="already"):
        users.create("alice")


def test_a_removed_session_takes_all_that_hangs_on_it_along(ids: list[int]) -> None:
    give(ids[0])
    with base.transaction():
        queue.put_many([(ids[1], "full")])
    with pytest.raises(UsageError, match="owns sessions"):
        users.remove(users.find("alice"))
    sessions.remove_many(ids)
    assert (sessions.count(), rules.count(), assignments.active()) == (0, 0, [])
    assert queue.count() == 0
    users.remove(users.find("alice"))
    assert users.listing().rows == []


def test_unknown_names_are_told_with_the_command_that_lists_them(database: Any) -> None:
    with pytest.raises(UsageError, match="afx user list"):
        users.find("nobody")
    with pytest.raises(UsageError, match="afx session list"):
        sessions.find("nothing")


def test_an_instant_comes_back_as_it_was(database: Any) -> None:
    at = datetime(2026, 3, 29, 2, 30, 0, 123456, UTC)
    tables.User.create(name="then", created_at=at)
    assert users.find("then").created_at == at
    with pytest.raises(ValueError, match="naive"):
        tables.User.create(name="naive", created_at=datetime(2026, 1, 1))  # noqa: DTZ001


def test_a_database_of_another_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="postgresql"):
        base.open_database("mysql://x/y")


def test_a_database_that_does_not_answer_is_told_in_words(home: Path) -> None:
    with pytest.raises(UnreachableError, match="AFX_DATABASE_URL"):
        base.open_database(f"sqlite:///{home}/missing/afx.db")


def test_a_login_is_added_once_under_whatever_name(ids: list[int]) -> None:
    owner = users.find("alice")
    sessions.create(owner, NewSession("one", "sealed", "print"))
    with pytest.raises(UsageError, match="Session 'one' has this very login"):
        sessions.create(owner, NewSession("two", "sealed", "print"))
    with pytest.raises(peewee.IntegrityError):
        tables.Session.create(id=99, user=owner, name="x", login="x", fingerprint="print")


def test_an_id_is_never_given_twice(ids: list[int]) -> None:
    owner = users.find("alice")
    [last] = sessions.create_many(owner, [NewSession("last", "x")])
    sessions.remove_many([last])
    assert sessions.create_many(owner, [NewSession("next", "x")]) == [last + 1]


def test_what_exists_is_told_by_name_and_by_login(ids: list[int]) -> None:
    sessions.create(users.find("alice"), NewSession("one", "sealed", "print"))
    assert sessions.taken([("s0", None), ("new", "print"), ("other", "fresh")]) == (
        {"s0": None, "one": "print"},
        {"print": "one"},
    )


def test_sessions_are_listed_by_pages_and_filters(ids: list[int]) -> None:
    sessions.create_many(users.create("bob", "premium"), [NewSession("gold", "x")])
    give(ids[1])
    with base.transaction():
        queue.put_many([(ids[2], "full")])
        troubles.note_failures([Failure(ids[0], "bad", 1.0)])
    page = sessions.listing(limit=2)
    assert ([it["name"] for it in page.rows], page.next) == (["gold", "s0"], "s0")
    page = sessions.listing(after=page.next, limit=2)
    assert ([it["name"] for it in page.rows], page.next) == (["s1", "s2"], None)

    def names(**chosen: Any) -> list[str]:
        return [it["name"] for it in sessions.listing(SessionFilter(**chosen)).rows]

    assert names(user="bob") == names(tier="premium") == ["gold"]
    assert names(node="w1") == names(state="assigned") == ["s1"]
    assert names(state="waiting") == ["s2"]
    assert names(troubled=True) == ["s0"]
    assert names(state="unplaced", prefix="s") == ["s0"]
    assert names(prefix="%") == names(prefix="_") == []
    with pytest.raises(UsageError, match="one of running"):
        names(state="odd")
    with pytest.raises(UsageError, match="10000"):
        sessions.listing(limit=10_001)


def test_sessions_are_counted_by_state(ids: list[int]) -> None:
    give(ids[0])
    sessions.set_desired_state(sessions.find("s1"), "paused")
    with base.transaction():
        troubles.note_failures([Failure(ids[2], "bad", 1.0)])
    held = {name: count for name, count in sessions.count_by_state().items() if count}
    assert held == {"assigned": 1, "paused": 1, "unplaced": 1, "troubled": 1}


def test_a_session_is_removed_only_when_no_node_runs_it(ids: list[int]) -> None:
    give(ids[0])
    session = sessions.find("s0")
    assert not sessions.remove_unused(session)
    sessions.mark_removing(session)
    assert sessions.removable(10) == []
    assert [it.session for it in assignments.undesired()] == [ids[0]]
    with base.transaction():
        assignments.end_many([(ids[0], 1)], "stopped")
    assert sessions.removable(10) == [ids[0]]
    with pytest.raises(UsageError, match="being removed"):
        sessions.set_desired_state(session, "running")
    assert sessions.remove_unused(sessions.find("s1"))


def test_placement_may_look_at_some_sessions_only(ids: list[int]) -> None:
    assert [it.id for it in placing.unplaced(10, ids[1:])] == ids[1:]
    assert [(it.id, it.name, it.login) for it in logins.of_sessions(ids[:1])] == [
        (ids[0], "s0", "sealed")
    ]
    held = placing.standing(ids)[ids[0]]
    assert (held.desired_state, held.removing, held.has_rule, held.waits) == (
        "running",
        False,
        True,
        "",
    )


def test_a_beginning_finds_what_it_alone_can_mean(ids: list[int]) -> None:
    sessions.create_many(users.find("alice"), [NewSession("main-account", "x")])
    assert sessions.find("mai").name == "main-account"
    assert sessions.find(str(ids[0])).name == "s0"
    with pytest.raises(UsageError, match="may mean s0, s1, s2"):
        sessions.find("s")
    with pytest.raises(UsageError, match="afx session list"):
        sessions.find("")


@pytest.mark.parametrize("name", ["", "x" * 101, "a\nb", "a\x1b[2J", " a", "12", "-x", "\u202ea"])
def test_a_name_that_nobody_could_type_or_read_is_refused(ids: list[int], name: str) -> None:
    with pytest.raises(UsageError):
        users.create(name)
    with pytest.raises(UsageError):
        sessions.create(users.find("alice"), NewSession(name, "x"))


def test_sql_in_a_name_is_a_name(ids: list[int]) -> None:
    name = "'; DROP TABLE users; --%_?"
    users.create(name)
    assert users.find(name).name == name
    assert users.names_beginning("'; DROP") == [name]


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


def test_rules_of_one_name_in_a_session_are_refused_whole(ids: list[int]) -> None:
    with pytest.raises(UsageError, match="nothing was added"):
        rules.create_many([NewRule(ids[0], "new", [], []), NewRule(ids[0], "r", [], [])])
    assert rules.count() == 3


def test_what_is_wanted_of_a_node_stays_over_its_restart(database: Any) -> None:
    for incarnation in ("one", "two"):
        with base.transaction():
            workers.seen_many([Seen("w1", incarnation, "host", "ready", 7)])
        if incarnation == "one":
            workers.set_desired_state("w1", "cordoned")
    assert workers.desired_states() == {"w1": "cordoned"}
    assert workers.forwarded() == {"two": 7}
    workers.remove("w1")
    with pytest.raises(UsageError):
        workers.remove("w1")


def test_old_assignments_go_but_the_last_one_of_a_session(ids: list[int]) -> None:
    for epoch in (1, 2, 3):
        give(ids[0], epoch)
        with base.transaction():
            assignments.end_many([(ids[0], epoch)], "moved")
    with base.transaction():
        assert assignments.prune(base.utc_now(), 1) == 1
        assert assignments.prune(base.utc_now(), 9) == 1
        assert assignments.prune(base.utc_now(), 9) == 0
    assert [it["epoch"] for it in assignments.history(sessions.find("s0")).rows] == [3]


def test_a_generation_is_above_all_that_were(ids: list[int]) -> None:
    assert cluster.begin_generation(5, above=40) == 41
    assert cluster.begin_generation(6, above=3) == 42
    assert cluster.term() == 6


def test_of_two_writers_at_once_one_gives_the_session_away(ids: list[int]) -> None:
    given: list[int] = []

    def give_it(number: int) -> None:
        try:
            give(ids[0], epoch=number + 1)
        except peewee.IntegrityError:
            return
        given.append(number)

    together(4, give_it)
    assert len(given) == len(assignments.active()) == 1


def test_two_imports_at_once_take_different_ids(database: Any) -> None:
    owner = users.create("alice")
    taken: list[int] = []

    def add(number: int) -> None:
        rows = [NewSession(f"s{number}-{it}", "x") for it in range(50)]
        taken.extend(sessions.create_many(owner, rows))

    together(4, add)
    assert sorted(taken) == list(range(1, 201))


def test_after_a_restore_every_assignment_has_ended(ids: list[int]) -> None:
    for it in ids:
        give(it)
    assert assignments.end_all("restored") == 3
    assert assignments.active() == []


def test_how_far_reports_were_read_is_kept_with_what_they_said(ids: list[int]) -> None:
    assert cluster.reports_read("one") == "0"
    with base.transaction():
        cluster.set_reports_read("one", "17-3")
    with base.transaction(keep=False):
        cluster.set_reports_read("one", "18-0")
    assert cluster.reports_read("one") == "17-3"


def test_how_far_reports_were_read_means_nothing_in_another_redis(ids: list[int]) -> None:
    with base.transaction():
        cluster.set_reports_read("one", "17-3")
    assert cluster.reports_read("two") == "0"
    with base.transaction():
        cluster.set_reports_read("two", "4-0")
    assert (cluster.reports_read("two"), cluster.reports_read("one")) == ("4-0", "0")


def test_one_session_is_described_as_the_list_shows_it(ids: list[int]) -> None:
    give(ids[1])
    session = sessions.find("s1")
    assert sessions.describe(session) == sessions.listing().rows[1]
    assert sessions.describe(session)["node"] == "w1"
    assert sessions.names_beginning("s") == ["s0", "s1", "s2"]
    assert sessions.newest_login() == "sealed"


def test_rules_are_listed_by_session_and_by_state(ids: list[int]) -> None:
    rules.change(rules.find("s1/r"), enabled=False)
    assert [it["session"] for it in rules.listing(enabled=False).rows] == ["s1"]
    assert [it["id"] for it in rules.listing(session=sessions.find("s2")).rows] == [3]
    page = rules.listing(limit=2)
    assert [it["session"] for it in rules.listing(after=page.next).rows] == ["s2"]


def test_a_users_tier_is_changed(ids: list[int]) -> None:
    users.create("bob")
    users.set_tier(users.find("alice"), "premium")
    assert users.count_by_tier() == {"premium": 1, "free": 1}
    assert placing.unplaced(1)[0].tier == "premium"
    assert [it["sessions"] for it in users.listing(tier="premium").rows] == [3]
    with pytest.raises(UsageError, match="premium or free"):
        users.set_tier(users.find("bob"), "gold")


def test_nodes_are_found_by_a_beginning(database: Any) -> None:
    with base.transaction():
        workers.seen_many(Seen(name, "i", "h", "ready") for name in ("east-1", "east-2", "west-1"))
    assert workers.find("west").name == "west-1"
    assert workers.names_beginning("east") == ["east-1", "east-2"]
    with pytest.raises(UsageError, match="may mean east-1, east-2"):
        workers.find("east")
    page = workers.listing(limit=2)
    assert [it["name"] for it in workers.listing(after=page.next).rows] == ["west-1"]


def test_traits_tell_where_a_session_fits(ids: list[int]) -> None:
    gold = users.create("bob", "premium")
    [it] = sessions.create_many(gold, [NewSession("gold", "x")])
    sessions.set_requires(sessions.find("gold"), {"region": "eu"})
    with base.transaction():
        placing.note_active([it])
    held = placing.traits([it, ids[0]])
    assert held[it] == placing.Traits(True, True, frozenset({"region=eu"}))
    assert held[ids[0]] == placing.Traits(False, False, frozenset())
    assert placing.labels_of(None) == frozenset()


def test_running_sessions_are_told_with_their_rest(ids: list[int]) -> None:
    for it in ids:
        give(it)
    with base.transaction():
        assignments.mark_running([(it, 1) for it in ids[:2]])
        placing.note_moved(ids[:1])
    rest = timedelta(minutes=30)
    assert {it.session: it.rested for it in placing.running(rest)} == {ids[0]: False, ids[1]: True}
    assert placing.running(rest, "premium") == []
    assert [it.rested for it in placing.running(timedelta(0), "free")] == [True, True]
    assert placing.moved_within(timedelta(hours=1)) == 1
    assert placing.moved_within(timedelta(hours=-1)) == 0


def test_what_required_labels_change_is_placed_anew(ids: list[int]) -> None:
    with base.transaction():
        assignments.create_many([Active(ids[0], "w1", "one", 1, "assigned", revision=2)])
    assert assignments.undesired() == []
    sessions.set_requires(sessions.find("s0"), {"region": "eu"})
    assert [it.session for it in assignments.undesired()] == [ids[0]]


def test_a_session_that_fails_again_and_again_is_in_quarantine(ids: list[int]) -> None:
    for times in range(1, 8):
        with base.transaction():
            troubles.note_failures([Failure(ids[0], f"no way ({times} times in a row)", 1.0)])
    assert troubles.failure_counts(ids[:2]) == {ids[0]: 7, ids[1]: 0}
    held = sessions.describe(sessions.find("s0"))
    assert (held["state"], held["trouble"]) == ("quarantined", "no way (7 times in a row)")
    [row] = sessions.listing(SessionFilter(state="quarantined")).rows
    assert row["name"] == "s0"
    sessions.set_desired_state(sessions.find("s0"), "running")
    assert sessions.describe(sessions.find("s0"))["state"] == "unplaced"


def test_cursors_are_kept_and_replaced_and_go_with_their_session(ids: list[int]) -> None:
    first, second, _ = ids
    with base.transaction():
        cursors.save_many({first: {"account": "1:0:5"}, second: {"last:-7": "9"}, 999: {"x": "1"}})
        cursors.save_many({first: {"account": "2:0:6", "channel:3": "4"}})
    assert list(cursors.pages(1)) == [
        {first: {"account": "2:0:6", "channel:3": "4"}},
        {second: {"last:-7": "9"}},
    ]
    sessions.remove_many([first])
    assert [list(page) for page in cursors.pages()] == [[second]]


def test_everybody_who_wants_a_place_has_a_turn(ids: list[int]) -> None:
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


def test_who_wants_no_place_any_more_is_found_among_those_that_wait(ids: list[int]) -> None:
    queue.put_many([(it, "all nodes are full") for it in ids])
    assert queue.ids() == set(ids)
    assert queue.obsolete() == []
    sessions.set_desired_state(sessions.find("s0"), "paused")
    rules.change(rules.find("s1/r"), enabled=False)
    give(ids[2])
    assert sorted(queue.obsolete()) == ids
