"""Controls are carried out when they are requested, not with the leader's next round."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.term_harness import TermHarness, add, running

from afx.app import ProcessServers
from afx.cluster import report_stream
from afx.config import load
from afx.coordinator.interval import HurriedInterval
from afx.operations import answers, session_bulk, sessions, tokens
from afx.operations.answers import Answer
from afx.operations.context import Actor, Context
from afx.operations.session_bulk import BulkPlan
from models.storage import controls

SHORT = 0.021
"""Seconds: less than a round for controls takes that nobody has asked for."""


@pytest.fixture
def context(home: Path, redis_url: str, harness: TermHarness) -> Context:
    del harness  # it opens the database
    servers = ProcessServers(load(home=home, redis_url=redis_url))
    servers.vault()
    return servers.context(Actor("test"))


def state(control_id: int | None) -> str:
    return str(controls.get(control_id or 0)["state"])


def test_a_pause_and_a_resume_are_done_within_a_few_hundredths_of_a_second(
    harness: TermHarness, context: Context
) -> None:
    harness.add_node("w1")
    [session] = add("alice", 1)
    harness.until(lambda: running() == {session})
    for act, kind in ((sessions.pause, "stop"), (sessions.resume, "start")):
        harness.tick(1.0)  # the round that nobody asked for
        before = len(harness.sent(kind, session))
        control = act(context, str(session)).control
        harness.tick(SHORT)
        assert len(harness.sent(kind, session)) == before + 1
        harness.tick(SHORT)
        assert state(control) == "done"


def test_a_removed_session_stops_at_once(harness: TermHarness, context: Context) -> None:
    harness.add_node("w1")
    [session] = add("alice", 1)
    harness.until(lambda: running() == {session})
    harness.tick(1.0)
    control = sessions.remove(context, str(session)).control
    harness.tick(SHORT)
    assert harness.sent("stop", session)
    harness.until(lambda: state(control) == "done")


def test_a_flood_of_words_to_the_leader_lets_it_look_no_more_often(
    harness: TermHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []
    real = controls.open_ones
    monkeypatch.setattr(controls, "open_ones", lambda: looks.append(1) or real())
    harness.tick(1.0)
    looks.clear()
    for _ in range(100):
        report_stream.publish(harness.redis, [])
        harness.tick(0.001)
    assert len(looks) <= 6


def test_many_sessions_are_stopped_by_the_pass_over_all_of_them(
    harness: TermHarness, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("afx.coordinator.unwanted._HURRIED", 2)
    harness.add_node("w1")
    ids = add("alice", 5)
    harness.until(lambda: running() == set(ids))
    harness.tick(1.0)
    names = tuple(f"alice{it}" for it in range(5))
    session_bulk.carry_out(context, BulkPlan("pause", "", names, 5, None), 0)
    harness.tick(SHORT)
    assert sum(it.kind == "stop" for it in harness.orders.sent) == 2
    harness.until(lambda: not running() and not controls.open_ones())


def test_the_leader_is_told_once_a_change_is_committed_and_not_before(
    harness: TermHarness, context: Context
) -> None:
    add("alice", 1)
    words = []

    def make() -> Answer:
        sessions.pause(context, "alice0")
        words.append(harness.redis.xlen("afx:reports"))
        return Answer(200)

    token = tokens.create(context, "test", scopes=["*"]).id
    before = harness.redis.xlen("afx:reports")
    answers.once(context, token, "key", "digest", make)
    assert words == [before]
    assert harness.redis.xlen("afx:reports") == before + 1
    sessions.resume(replace(context, dry_run=True), "alice0")
    assert harness.redis.xlen("afx:reports") == before + 1


def test_a_run_without_news_is_due_after_the_interval() -> None:
    made = HurriedInterval(0.2, 0.02)
    assert made.is_due(10.0, news=False)
    assert not made.is_due(10.19, news=False)
    assert made.is_due(10.2, news=False)


def test_news_hurries_a_run_and_is_remembered_when_it_comes_too_early() -> None:
    made = HurriedInterval(0.2, 0.02)
    assert made.is_due(10.0, news=False)
    assert not made.is_due(10.01, news=True)
    assert made.is_due(10.02, news=False)
    assert not made.is_due(10.05, news=False)


def test_a_run_that_takes_long_is_not_hurried_again_for_as_long() -> None:
    made = HurriedInterval(5.0, 0.02)
    assert made.is_due(10.0, news=True)
    made.finish(10.0, 11.0)
    assert not made.is_due(11.9, news=True)
    assert made.is_due(12.0, news=False)


def test_a_run_is_due_after_the_interval_however_long_the_last_one_took() -> None:
    made = HurriedInterval(0.2, 0.02)
    assert made.is_due(10.0, news=True)
    made.finish(10.0, 11.0)
    assert made.is_due(11.0, news=True)
