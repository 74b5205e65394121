"""Nodes that take long: one that answers nothing is restarted, one that has much to do is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.term_harness import TermHarness, add, running

from afx.cluster import report_stream
from afx.cluster.reports import Stopped
from afx.reasons import StopReason
from models.storage import assignments, controls, sessions
from models.tables import Session

ANSWER_SECONDS = 5.0


@pytest.fixture
def harness(home: Path, redis_url: str, sql: None) -> Iterator[TermHarness]:
    del sql
    made = TermHarness(home, redis_url, answer_seconds=ANSWER_SECONDS)
    yield made
    made.close()


def stopping(harness: TermHarness) -> list[int]:
    """Return the sessions of a node that is to stop them, and does not yet."""
    harness.add_node("w1")
    made = add("alice", 6)
    harness.until(lambda: running() == set(made))
    harness.obeying = False
    for it in made:
        sessions.set_desired_state(Session.get_by_id(it), "paused")
    harness.until(lambda: all(harness.sent("stop", it) for it in made))
    return made


def stop(harness: TermHarness, session: int) -> None:
    """Report that the node has stopped a session."""
    [it] = [it for it in assignments.active() if it.session == session]
    stopped = Stopped(
        node=it.worker,
        incarnation=it.incarnation,
        session_id=session,
        epoch=it.epoch,
        reason=StopReason.REQUESTED,
    )
    report_stream.publish(harness.redis, [stopped])


def restarts() -> list[str]:
    return [str(it["kind"]) for it in controls.listing(worker="w1").rows]


def test_a_node_that_answers_nothing_is_restarted(harness: TermHarness) -> None:
    stopping(harness)
    for _ in range(4):
        harness.tick(1.0)
    assert restarts() == []
    for _ in range(4):
        harness.tick(1.0)
    assert restarts() == ["recycle"]


def test_a_node_that_ends_one_session_after_another_has_its_time(harness: TermHarness) -> None:
    made = stopping(harness)
    for it in made:
        harness.tick(1.0)
        harness.tick(1.0)
        stop(harness, it)
    harness.tick(1.0)
    assert assignments.active() == []
    assert restarts() == []


def test_a_session_that_is_never_stopped_restarts_its_node_whatever_else_it_does(
    harness: TermHarness,
) -> None:
    made = stopping(harness)
    for it in made[1:]:
        for _ in range(3):
            harness.tick(1.0)
        stop(harness, it)
    assert restarts() == []
    for _ in range(4):
        harness.tick(1.0)
    assert restarts() == ["recycle"]
