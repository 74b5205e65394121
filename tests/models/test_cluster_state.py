"""The generation of a leader, its fence and its read position; on SQLite and on Postgres."""

from __future__ import annotations

from typing import Any

import pytest

from afx.errors import FencedError
from models import base
from models.storage import assignments, cluster
from models.storage.assignments import Active


def test_only_the_newest_leader_writes(ids: list[int]) -> None:
    cluster.begin_generation(7)
    with pytest.raises(FencedError), base.transaction():
        cluster.hold(6)
    with pytest.raises(FencedError):
        cluster.begin_generation(6)
    with base.transaction():
        cluster.hold(7)


def test_two_leaders_never_start_with_the_same_term(database: Any) -> None:
    """A Redis that failed over may have elected both with the same number."""
    assert cluster.begin_generation(7) == 1
    with pytest.raises(FencedError):
        cluster.begin_generation(7)
    with base.transaction():
        cluster.hold(7)  # the first one goes on
    assert cluster.begin_generation(8) == 2


def test_each_leader_has_a_generation_of_its_own(database: Any) -> None:
    assert cluster.generation() == 0
    assert [cluster.begin_generation(term) for term in (1, 2, 3)] == [1, 2, 3]
    assert cluster.generation() == 3


def test_a_generation_is_above_all_that_were(ids: list[int]) -> None:
    assert cluster.begin_generation(5, above=40) == 41
    assert cluster.begin_generation(6, above=3) == 42
    assert cluster.term() == 6


def test_a_generation_that_nodes_know_is_not_begun_again(ids: list[int]) -> None:
    cluster.begin_generation(5)
    cluster.note_generation(9)
    cluster.note_generation(3)
    assert cluster.generation() == 9
    assert cluster.begin_generation(6) == 10


def test_what_a_fenced_leader_wrote_with_it_is_undone(ids: list[int]) -> None:
    cluster.begin_generation(9)
    with pytest.raises(FencedError), base.transaction():
        assignments.create_many([Active(ids[0], "w1", "one", 1, "assigned")])
        cluster.hold(8)
    assert assignments.active() == []


def test_how_far_reports_were_read_is_kept_with_what_they_said(ids: list[int]) -> None:
    assert cluster.reports_read("one") == "0"
    assert cluster.last_run_id() == ""
    with base.transaction():
        cluster.set_reports_read("one", "17-3")
    with base.transaction(keep=False):
        cluster.set_reports_read("one", "18-0")
    assert cluster.reports_read("one") == "17-3"
    assert cluster.last_run_id() == "one"


def test_the_read_position_of_reports_is_invalid_in_another_redis(ids: list[int]) -> None:
    with base.transaction():
        cluster.set_reports_read("one", "17-3")
    assert cluster.reports_read("two") == "0"
    with base.transaction():
        cluster.set_reports_read("two", "4-0")
    assert (cluster.reports_read("two"), cluster.reports_read("one")) == ("4-0", "0")


def test_a_redis_that_was_replaced_for_a_term_is_not_the_one_that_was_read(ids: list[int]) -> None:
    cluster.begin_generation(7, run_id="one")
    assert cluster.last_run_id() == ""
    with base.transaction():
        cluster.set_reports_read("one", "17-3")
    cluster.begin_generation(8, run_id="one")
    assert (cluster.last_run_id(), cluster.reports_read("one")) == ("one", "17-3")
    cluster.begin_generation(9, run_id="two")
    assert cluster.last_run_id() not in ("", "one", "two")
    cluster.begin_generation(10, run_id="one")  # the replica was the primary for a moment
    assert cluster.last_run_id() not in ("", "one", "two")
    assert cluster.reports_read("one") == cluster.reports_read("two") == "0"


def test_the_commits_of_leaders_are_counted_with_what_they_wrote(ids: list[int]) -> None:
    cluster.begin_generation(7)
    before = cluster.commits()
    with base.transaction():
        assert cluster.count_commit(7) == before + 1
    with base.transaction(keep=False):
        assert cluster.count_commit(7) == before + 2
    assert cluster.commits() == before + 1
    with pytest.raises(FencedError), base.transaction():
        cluster.count_commit(6)
