"""Storage on SQLite and on Postgres."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import peewee
import pytest

from afx.errors import AfxError, ConfigError, FencedError, UnreachableError, UsageError
from models import base, schema, tables
from models.storage import assignments, cluster, queue, rules, sessions, users, workers
from models.storage.assignments import Active


@pytest.fixture
def ids(database: Any) -> list[int]:
    """Three sessions of one user, each with a rule."""
    owner = users.create("alice")
    made = sessions.create_many(owner, [(f"s{number}", "sealed") for number in range(3)])
    rules.create_many([(it, ["-1"], ["-2"], "copy") for it in made])
    cluster.begin_generation(1)
    return made


def give(session: int, epoch: int = 1) -> None:
    with base.transaction():
        assignments.create_many([Active(session, "w1", "one", epoch, "assigned", revision=9)])


def test_the_schema_of_the_migrations_is_that_of_the_models(database: Any) -> None:
    for table in tables.ALL:
        held = {it.name: it for it in database.get_columns(table._meta.table_name)}
        wanted = {it.column_name: it for it in table._meta.sorted_fields}
        assert set(held) == set(wanted), table.__name__
        assert {n: held[n].null for n in held} == {n: wanted[n].null for n in held}, table.__name__
        indexed = {tuple(it.columns) for it in database.get_indexes(table._meta.table_name)}
        for field in table._meta.sorted_fields:
            if field.unique or (
                isinstance(field, peewee.ForeignKeyField) and not field.primary_key
            ):
                assert (field.column_name,) in indexed, f"{table.__name__}.{field.name}"


def test_migrations_go_down_and_up_with_data_in_them(ids: list[int]) -> None:
    give(ids[0])
    schema.downgrade()
    with pytest.raises(AfxError, match="afx db upgrade"):
        schema.check()
    schema.upgrade()
    schema.check()
    assert sessions.listing() == []


def test_a_session_without_a_node_is_unplaced_until_it_has_one(ids: list[int]) -> None:
    assert [it.id for it in sessions.unplaced(10)] == ids
    give(ids[0])
    assert [it.id for it in sessions.unplaced(10)] == ids[1:]


def test_premium_sessions_come_first(ids: list[int]) -> None:
    [gold] = sessions.create_many(users.create("bob", "premium"), [("gold", "sealed")])
    rules.create_many([(gold, ["-1"], ["-2"], "copy")])
    assert next(iter(sessions.unplaced(10))).id == gold


def test_a_session_without_a_rule_has_nothing_to_do(ids: list[int]) -> None:
    sessions.create_many(users.find("alice"), [("idle", "sealed")])
    assert [it.id for it in sessions.unplaced(10)] == ids


def test_a_paused_session_is_not_placed_and_is_to_be_stopped(ids: list[int]) -> None:
    give(ids[0])
    sessions.set_wanted(sessions.find("s0"), "paused")
    assert [it.session for it in assignments.wanted_stops()] == [ids[0]]
    with base.transaction():
        assignments.mark_stopping([(ids[0], 1)])
    assert assignments.wanted_stops() == []


def test_a_session_whose_rules_changed_is_to_be_started_anew(ids: list[int]) -> None:
    [placed] = [it for it in sessions.unplaced(10) if it.id == ids[0]]
    with base.transaction():
        assignments.create_many(
            [Active(ids[0], "w1", "one", 1, "assigned", revision=placed.revision)]
        )
    assert assignments.wanted_stops() == []
    rules.create(sessions.find("s0"), ["@more"], ["-2"], "copy")
    assert [it.session for it in assignments.wanted_stops()] == [ids[0]]


def test_the_database_itself_refuses_a_second_active_assignment(ids: list[int]) -> None:
    give(ids[0], epoch=1)
    with pytest.raises(peewee.IntegrityError):
        give(ids[0], epoch=2)
    with base.transaction():
        assignments.end_many([(ids[0], 1)], "moved")
    give(ids[0], epoch=2)
    assert [(it.session, it.epoch) for it in assignments.active()] == [(ids[0], 2)]


def test_a_report_of_an_older_epoch_changes_nothing(ids: list[int]) -> None:
    give(ids[0], epoch=5)
    with base.transaction():
        assignments.mark_running([(ids[0], 4)])
        assignments.end_many([(ids[0], 4)], "late")
    assert [it.state for it in assignments.active()] == ["assigned"]


def test_a_failed_session_rests_before_it_is_tried_again(ids: list[int]) -> None:
    with base.transaction():
        sessions.note_failures([(ids[0], "no way")])
    assert [it.id for it in sessions.unplaced(10)] == ids[1:]
    with base.transaction():
        sessions.clear_trouble(ids)
    assert [it.id for it in sessions.unplaced(10)] == ids


def test_a_lost_login_is_not_tried_again(ids: list[int]) -> None:
    with base.transaction():
        sessions.note_lost_logins([(ids[0], "login lost: AuthKeyDuplicated")])
    held = sessions.listing()[0]
    assert (held["wanted"], held["trouble"]) == ("paused", "login lost: AuthKeyDuplicated")


def test_only_the_newest_leader_writes(ids: list[int]) -> None:
    cluster.begin_generation(7)
    with pytest.raises(FencedError), base.transaction():
        cluster.hold(6)
    with pytest.raises(FencedError):
        cluster.begin_generation(6)
    with base.transaction():
        cluster.hold(7)


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
    [held] = queue.listing()
    assert (held["session"], held["attempts"]) == ("s0", 3)
    with base.transaction():
        queue.remove_many(ids)
    assert queue.listing() == []


def test_nodes_are_noted_once_by_name(database: Any) -> None:
    for incarnation in ("one", "two"):
        with base.transaction():
            workers.seen_many([("w1", incarnation, "host", "ready")])
            workers.sample_many([("w1", 1, 0.5, 2, 3, 0.5)])
    assert [it["incarnation"] for it in workers.listing()] == ["two"]
    assert tables.WorkerAnalytics.select().count() == 2


def test_a_name_that_is_taken_adds_nothing(ids: list[int]) -> None:
    with pytest.raises(UsageError, match="nothing was added"):
        sessions.create_many(users.find("alice"), [("new", "x"), ("s1", "x")])
    assert [it["name"] for it in sessions.listing()] == ["s0", "s1", "s2"]
    with pytest.raises(UsageError, match="already"):
        users.create("alice")


def test_a_removed_session_takes_all_that_hangs_on_it_along(ids: list[int]) -> None:
    give(ids[0])
    with base.transaction():
        queue.put_many([(ids[1], "full")])
    with pytest.raises(UsageError, match="owns sessions"):
        users.remove("alice")
    sessions.remove_many(ids)
    assert (sessions.count(), rules.listing(), assignments.active()) == (0, [], [])
    assert queue.listing() == []
    users.remove("alice")
    assert users.all_users() == []


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
