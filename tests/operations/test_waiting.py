"""Waiting for controls: progress until they are finished, or until time is up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.databases import open_sqlite

from afx.app import context_for
from afx.config import load
from afx.operations import waiting
from afx.operations.context import Context
from afx.operations.requests import Requested
from models.storage import controls
from models.storage.control_subjects import NodeSubject


class Clock:
    """A clock that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def context(home: Path) -> Iterator[Context]:
    from models import base

    open_sqlite(home)
    yield context_for(load(home=home), "test")
    base.close_database()


def requested() -> Requested:
    control = controls.request(kind="cordon", subject=NodeSubject("w1"), actor="test")
    return Requested("w1", control.id)


def watched(
    context: Context, it: list[Requested], timeout: float
) -> Iterator[tuple[waiting.Progress, ...]]:
    clock = Clock()
    return waiting.watch(context, it, timeout=timeout, clock=clock, sleep=clock.sleep)


def test_progress_ends_with_its_control(context: Context) -> None:
    it = requested()
    assert it.control is not None
    seen = []
    for [progress] in watched(context, [it], 60):
        seen.append(progress.state)
        if progress.state == "requested":
            controls.mark_sent(it.control)
        elif progress.state == "sent":
            controls.mark_acknowledged(it.control)
            controls.mark_done(it.control, "all right")
    assert seen == ["requested", "sent", "done"]
    assert progress.finished and progress.note == "all right"


def test_a_wait_that_times_out_prints_the_last_state(context: Context) -> None:
    *_, [last] = watched(context, [requested()], 1)
    assert (last.state, last.finished) == ("requested", False)


def test_without_waiting_there_is_one_snapshot(context: Context) -> None:
    assert len(list(watched(context, [requested()], 0))) == 1


def test_what_needed_no_control_is_done_at_once(context: Context) -> None:
    [[only]] = watched(context, [Requested("w1", None, "is already ready")], 60)
    assert (only.state, only.note, only.control) == ("done", "is already ready", None)


def test_the_order_of_the_requests_is_kept(context: Context) -> None:
    pending = requested()
    settled = Requested("w2", None, "is already ready")
    *_, last = watched(context, [pending, settled], 0.5)
    assert [it.target for it in last] == ["w1", "w2"]
    assert [it.finished for it in last] == [False, True]
