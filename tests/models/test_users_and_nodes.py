"""Users, nodes and how each is found by its name; on SQLite and on Postgres."""

from __future__ import annotations

from typing import Any

import pytest

from afx.errors import UsageError
from models import base
from models.storage import (
    controls,
    placing,
    sessions,
    users,
    workers,
)
from models.storage.control_subjects import NodeSubject
from models.storage.sessions import NewSession
from models.storage.workers import Seen


def test_nodes_are_noted_once_by_name(database: Any) -> None:
    for incarnation in ("one", "two"):
        with base.transaction():
            workers.seen_many([Seen("w1", incarnation, "host", "ready")])
    assert [it["incarnation"] for it in workers.listing().rows] == ["two"]


def test_an_unknown_name_is_refused_with_the_command_that_lists_names(database: Any) -> None:
    with pytest.raises(UsageError, match="afx user list"):
        users.find("nobody")
    with pytest.raises(UsageError, match="afx session list"):
        sessions.find("nothing")


def test_an_unambiguous_prefix_finds_its_name(ids: list[int]) -> None:
    sessions.create_many(users.find("alice"), [NewSession("main-account", "x")])
    assert sessions.find("mai").name == "main-account"
    assert sessions.find(str(ids[0])).name == "s0"
    with pytest.raises(UsageError, match="may mean s0, s1, s2"):
        sessions.find("s")
    with pytest.raises(UsageError, match="afx session list"):
        sessions.find("")


@pytest.mark.parametrize("name", ["", "x" * 101, "a\nb", "a\x1b[2J", " a", "12", "-x", "\u202ea"])
def test_a_name_with_unprintable_characters_is_refused(ids: list[int], name: str) -> None:
    with pytest.raises(UsageError):
        users.create(name)
    with pytest.raises(UsageError):
        sessions.create(users.find("alice"), NewSession(name, "x"))


def test_sql_in_a_name_is_a_name(ids: list[int]) -> None:
    name = "'; DROP TABLE users; --%_?"
    users.create(name)
    assert users.find(name).name == name
    assert users.names_beginning("'; DROP") == [name]


def test_the_desired_state_of_a_node_survives_its_restart(database: Any) -> None:
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


def test_a_beginning_means_a_node_rather_than_its_processes(database: Any) -> None:
    with base.transaction():
        names = ("big", "big.2", "big.10", "bigger", "big-2")
        workers.seen_many(Seen(name, "i", "h", "ready") for name in names)
    assert workers.find("big").name == "big"
    assert workers.find("big.2").name == "big.2"
    assert workers.find("bigg").name == "bigger"
    assert {it.name for it in workers.further_processes("big")} == {"big.2", "big.10"}
    assert not workers.further_processes("big.2")


def test_the_first_process_of_a_node_has_a_name_that_is_no_beginning_of_another_one(
    database: Any,
) -> None:
    with base.transaction():
        workers.seen_many(Seen(name, "i", "h", "ready") for name in ("big", "big.10", "big.20"))
    assert workers.find("big.1").name == "big"
    for text in ("big.2", "bi.1", "big."):
        with pytest.raises(UsageError, match="no process"):
            workers.find(text)


def test_a_further_process_has_a_desired_state_of_its_own_from_the_first(database: Any) -> None:
    def seen(*found: str) -> None:
        with base.transaction():
            workers.seen_many([Seen(it, "one", "host", "ready") for it in found])

    seen("w1", "w1.2")
    workers.set_desired_state("w1", "cordoned")
    seen("w1", "w1.2", "w1.3")
    assert workers.desired_states() == {"w1": "cordoned", "w1.2": "ready", "w1.3": "cordoned"}


def test_a_successor_has_the_desired_state_of_the_process_that_it_replaces(database: Any) -> None:
    def seen(name: str, incarnation: str, *, takes_over: str = "") -> str:
        with base.transaction():
            workers.seen_many([Seen(name, incarnation, "host", "ready", takes_over=takes_over)])
        return workers.desired_states()[name]

    seen("w1.2", "old")
    seen("w1.3", "one")
    workers.set_desired_state("w1.2", "cordoned")  # and it has ended since
    assert seen("w1.2", "new", takes_over="w1.3") == "ready"
    workers.set_desired_state("w1.2", "cordoned")
    assert seen("w1.2", "new", takes_over="w1.3") == "cordoned"
    assert seen("w1.2", "newer") == "cordoned"
    assert seen("w1.4", "one", takes_over="w1.2") == "cordoned"


def test_the_controls_of_a_node_are_those_of_all_its_processes(database: Any) -> None:
    for it in ("w1", "w1.2", "w11"):
        controls.request(kind="cordon", subject=NodeSubject(it), actor="test")
    assert {it["worker"] for it in controls.listing(worker="w1").rows} == {"w1", "w1.2"}
    assert {it["worker"] for it in controls.listing(worker="w1.2").rows} == {"w1.2"}


def test_a_node_whose_name_leaves_no_room_for_a_successor_is_not_replaced(database: Any) -> None:
    with pytest.raises(UsageError, match="97 characters"):
        controls.request(kind="replace", subject=NodeSubject("x" * 97), actor="test")
    controls.request(kind="replace", subject=NodeSubject("x" * 96 + ".2"), actor="test")
