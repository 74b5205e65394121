"""Sessions, their logins and cursors, on SQLite and on Postgres."""

from __future__ import annotations

from typing import Any

import peewee
import pytest
from support.assignments import assign
from support.databases import together

from afx.errors import UsageError
from models import base, tables
from models.storage import (
    assignments,
    cursors,
    queue,
    rules,
    sessions,
    troubles,
    users,
)
from models.storage.sessions import NewSession, SessionFilter
from models.storage.troubles import Failure


def test_a_name_that_is_taken_adds_nothing(ids: list[int]) -> None:
    with pytest.raises(UsageError, match="nothing was added"):
        sessions.create_many(users.find("alice"), [NewSession("new", "x"), NewSession("s1", "x")])
    assert [it["name"] for it in sessions.listing().rows] == ["s0", "s1", "s2"]
    with pytest.raises(UsageError, match="already"):
        users.create("alice")


def test_a_removed_session_removes_its_dependent_rows(ids: list[int]) -> None:
    assign(ids[0])
    with base.transaction():
        queue.put_many([(ids[1], "full")])
    with pytest.raises(UsageError, match="owns sessions"):
        users.remove(users.find("alice"))
    sessions.remove_many(ids)
    assert (sessions.count(), rules.count(), assignments.active()) == (0, 0, [])
    assert queue.count() == 0
    users.remove(users.find("alice"))
    assert users.listing().rows == []


def test_a_login_is_added_once_under_whatever_name(ids: list[int]) -> None:
    owner = users.find("alice")
    sessions.create(owner, NewSession("one", "sealed", "print"))
    with pytest.raises(UsageError, match="Session 'one' has this very login"):
        sessions.create(owner, NewSession("two", "sealed", "print"))
    with pytest.raises(peewee.IntegrityError):
        tables.Session.create(id=99, user=owner, name="x", login="x", fingerprint="print")


def test_a_login_is_replaced_in_place(ids: list[int]) -> None:
    owner = users.find("alice")
    one = sessions.create(owner, NewSession("one", "sealed", "print", account=5))
    sessions.create(owner, NewSession("two", "sealed", "other"))
    sessions.replace_login(one, NewSession("one", "new", "fresh", account=5, bot=True))
    row = sessions.find("one")
    assert (row.id, row.login, row.fingerprint, row.account) == (one.id, "new", "fresh", 5)
    assert row.bot and row.revision == one.revision + 1
    assert sessions.bots_among(["one", "two", "three"]) == ["one"]
    assert sessions.names_of_account(5) == sessions.names_of_account(5, owner="alice") == ["one"]
    assert sessions.names_of_account(5, owner="bob") == []
    with pytest.raises(UsageError, match="Session 'two' has this very login"):
        sessions.replace_login(one, NewSession("one", "new", "other"))
    sessions.mark_removing(one)
    with pytest.raises(UsageError, match="is being removed"):
        sessions.replace_login(one, NewSession("one", "new", "third"))


def test_ids_of_sessions_are_found_by_whole_names_and_ids(ids: list[int]) -> None:
    texts = ["s1", str(ids[0]), "s", "nobody", "9" * 30]
    assert sessions.ids_of(texts) == {"s1": ids[1], str(ids[0]): ids[0]}


def test_an_id_is_never_given_twice(ids: list[int]) -> None:
    owner = users.find("alice")
    [last] = sessions.create_many(owner, [NewSession("last", "x")])
    sessions.remove_many([last])
    assert sessions.create_many(owner, [NewSession("next", "x")]) == [last + 1]


def test_reserved_ids_are_given_to_nobody_else(ids: list[int]) -> None:
    reserved = sessions.reserve_ids(2)
    created = sessions.create(users.find("alice"), NewSession("later", "x"))
    assert created.id not in [*ids, *reserved]
    assert not set(reserved) & set(ids)


def test_existing_sessions_are_found_by_name_and_by_login(ids: list[int]) -> None:
    sessions.create(users.find("alice"), NewSession("one", "sealed", "print"))
    assert sessions.taken([("s0", None), ("new", "print"), ("other", "fresh")]) == (
        {"s0": None, "one": "print"},
        {"print": "one"},
    )


def test_sessions_are_listed_by_pages_and_filters(ids: list[int]) -> None:
    sessions.create_many(users.create("bob", "premium"), [NewSession("gold", "x")])
    assign(ids[1])
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
    assert sessions.count_matching(SessionFilter(user="alice")) == 3
    assert sessions.count_matching(SessionFilter(user="alice"), owner="bob") == 0
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
    assign(ids[0])
    sessions.set_desired_state(sessions.find("s1"), "paused")
    with base.transaction():
        troubles.note_failures([Failure(ids[2], "bad", 1.0)])
    counts = {name: count for name, count in sessions.count_by_state().items() if count}
    assert counts == {"assigned": 1, "paused": 1, "unplaced": 1, "troubled": 1}


def test_a_session_is_removed_only_when_no_node_runs_it(ids: list[int]) -> None:
    assign(ids[0])
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


def test_two_imports_at_once_take_different_ids(database: Any) -> None:
    owner = users.create("alice")
    taken: list[int] = []

    def add(number: int) -> None:
        rows = [NewSession(f"s{number}-{it}", "x") for it in range(50)]
        taken.extend(sessions.create_many(owner, rows))

    together(4, add)
    assert sorted(taken) == list(range(1, 201))


def test_one_session_is_described_as_the_list_shows_it(ids: list[int]) -> None:
    assign(ids[1])
    session = sessions.find("s1")
    assert sessions.describe(session) == sessions.listing().rows[1]
    assert sessions.describe(session)["node"] == "w1"
    assert sessions.names_beginning("s") == ["s0", "s1", "s2"]
    newest = sessions.newest_login()
    assert newest is not None and newest[1] == "sealed"


def test_cursors_are_kept_and_replaced_and_go_with_their_session(ids: list[int]) -> None:
    first, second, _ = ids
    with base.transaction():
        cursors.save_many({first: {"account": "1:0:5"}, second: {"last:-7": "9"}, 999: {"x": "1"}})
        cursors.save_many({first: {"account": "2:0:6", "channel:3": "4"}})
    assert cursors.page(0, 1) == {first: {"account": "2:0:6", "channel:3": "4"}}
    assert cursors.page(first, 1) == {second: {"last:-7": "9"}}
    sessions.remove_many([first])
    assert list(cursors.page(0, 10)) == [second]
