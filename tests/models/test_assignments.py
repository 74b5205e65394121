"""Assignments and their states, on SQLite and on Postgres."""

from __future__ import annotations

import peewee
import pytest
from support.assignments import assign
from support.databases import together

from models import base
from models.storage import (
    assignments,
    placing,
    rules,
    sessions,
)
from models.storage.assignments import Active
from models.transitions import TransitionError


def test_a_paused_session_is_not_placed_and_is_to_be_stopped(ids: list[int]) -> None:
    assign(ids[0])
    sessions.set_desired_state(sessions.find("s0"), "paused")
    assert [it.session for it in assignments.undesired()] == [ids[0]]
    assert [it.session for it in assignments.undesired(only=ids)] == [ids[0]]
    assert assignments.undesired(only=ids[1:]) == []
    with base.transaction():
        assignments.mark_stopping([(ids[0], 1)])
    assert assignments.undesired() == []


def test_a_session_is_restarted_when_its_last_rule_is_gone(ids: list[int]) -> None:
    [placed] = [it for it in placing.unplaced(10) if it.id == ids[0]]
    with base.transaction():
        assignments.create_many(
            [Active(ids[0], "w1", "one", 1, "assigned", revision=placed.revision)]
        )
    rules.change(rules.find("s0/r"), sources=["@more"])
    assert assignments.undesired() == []
    rules.remove(rules.find("s0/r"))
    assert [it.session for it in assignments.undesired()] == [ids[0]]


def test_a_session_whose_required_labels_changed_is_placed_again(ids: list[int]) -> None:
    with base.transaction():
        assignments.create_many([Active(ids[0], "w1", "one", 1, "assigned", revision=2)])
    assert assignments.undesired() == []
    sessions.set_requires(sessions.find("s0"), {"region": "eu"})
    assert [it.session for it in assignments.undesired()] == [ids[0]]


def test_the_database_itself_refuses_a_second_active_assignment(ids: list[int]) -> None:
    assign(ids[0], epoch=1)
    with pytest.raises(peewee.IntegrityError):
        assign(ids[0], epoch=2)
    with base.transaction():
        assignments.end_many([(ids[0], 1)], "moved")
    assign(ids[0], epoch=2)
    assert [(it.session, it.epoch) for it in assignments.active()] == [(ids[0], 2)]


def test_an_assignment_that_has_ended_does_not_run_again(ids: list[int]) -> None:
    assign(ids[0])
    assign(ids[1])
    with base.transaction():
        assignments.end_many([(ids[0], 1)], "moved")
    for step in (assignments.mark_running, assignments.mark_stopping):
        with pytest.raises(TransitionError, match="ended"), base.transaction():
            step([(ids[1], 1), (ids[0], 1)])
    assert [it.state for it in assignments.active()] == ["assigned"]


def test_a_repeated_step_changes_nothing(ids: list[int]) -> None:
    assign(ids[0])
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
    assign(ids[0], epoch=5)
    with base.transaction():
        assignments.mark_running([(ids[0], 4)])
        assignments.end_many([(ids[0], 4)], "late")
    assert [it.state for it in assignments.active()] == ["assigned"]


def test_old_assignments_go_but_the_last_one_of_a_session(ids: list[int]) -> None:
    for epoch in (1, 2, 3):
        assign(ids[0], epoch)
        with base.transaction():
            assignments.end_many([(ids[0], epoch)], "moved")
    with base.transaction():
        assert assignments.prune(base.utc_now(), 1) == 1
        assert assignments.prune(base.utc_now(), 9) == 1
        assert assignments.prune(base.utc_now(), 9) == 0
    assert [it["epoch"] for it in assignments.history(sessions.find("s0")).rows] == [3]


def test_of_two_concurrent_writers_one_places_the_session(ids: list[int]) -> None:
    given: list[int] = []

    def give_it(number: int) -> None:
        try:
            assign(ids[0], epoch=number + 1)
        except peewee.IntegrityError:
            return
        given.append(number)

    together(4, give_it)
    assert len(given) == len(assignments.active()) == 1


def test_after_a_restore_every_assignment_has_ended(ids: list[int]) -> None:
    for it in ids:
        assign(it)
    assert assignments.end_all("restored") == 3
    assert assignments.active() == []


def test_the_sessions_of_a_node_are_those_that_have_not_ended(ids: list[int]) -> None:
    for it in ids:
        assign(it)
    with base.transaction():
        assignments.end_many([(ids[1], 1)], "removed")
    assert assignments.sessions_on("w1") == [ids[0], ids[2]]
    assert assignments.sessions_on("w2") == []
