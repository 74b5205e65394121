"""What becomes of a node when one of its host processes ends."""

from __future__ import annotations

from dataclasses import replace

import pytest

from afx.node.process_plan import (
    NodeStep,
    Phase,
    ProcessState,
    count,
    next_step,
    share,
    to_forget,
    to_replace,
    to_start,
    to_stop,
)


def states(*phases: str | tuple[str, str]) -> list[ProcessState]:
    """Return processes 1, 2, … in these phases, some with a desired state."""
    pairs = [it if isinstance(it, tuple) else (it, "ready") for it in phases]
    return [
        ProcessState(number=number, phase=Phase(phase), desired_state=state)
        for number, (phase, state) in enumerate(pairs, 1)
    ]


@pytest.mark.parametrize(
    ("phases", "step"),
    [
        (["running"], NodeStep.CONTINUE),
        (["running", "stopped"], NodeStep.CONTINUE),
        (["failed", "running"], NodeStep.CONTINUE),
        (["stopped"], NodeStep.END),
        (["stopped", "stopped"], NodeStep.END),
        (["recycled"], NodeStep.RESTART),
        (["recycled", "recycled"], NodeStep.RESTART),
        (["recycled", "stopped"], NodeStep.RESTART),
        (["failed"], NodeStep.FAIL),
        (["failed", "stopped"], NodeStep.FAIL),
    ],
)
def test_a_node_goes_on_while_one_of_its_processes_runs(phases: list[str], step: NodeStep) -> None:
    assert next_step(states(*phases)) is step


def running(desired_state: str = "ready", leaving_since: float = 0.0) -> ProcessState:
    """Return process 1, which runs."""
    return ProcessState(
        number=1, phase=Phase.RUNNING, desired_state=desired_state, leaving_since=leaving_since
    )


def recycled(number: int = 2, *, leaving_since: float = 100.0) -> ProcessState:
    """Return a process that has been recycled at 120."""
    return ProcessState(
        number=number, phase=Phase.RECYCLED, leaving_since=leaving_since, ended_at=120.0
    )


def test_a_process_that_is_recycled_alone_starts_again_after_the_news_of_the_others() -> None:
    assert to_start([running(), recycled()], 121) == []
    assert to_start([running(), recycled()], 124) == [2]


def test_processes_that_are_recycled_together_wait_for_the_last_one() -> None:
    together = [running("draining", 101), recycled(2), recycled(3)]
    assert to_start(together, 600) == []
    assert to_start([running("recycling", 99), recycled()], 600) == []
    assert to_start([running("stopping"), recycled()], 130) == []
    assert to_start(together, 100_000) == [2, 3]


def test_a_process_of_which_the_recycle_fails_is_waited_for_no_longer() -> None:
    assert to_start([running("draining", 100), recycled()], 150) == []
    assert to_start([running("ready"), recycled()], 151) == [2]


def test_a_process_does_not_wait_for_one_that_is_drained_without_room() -> None:
    assert to_start([running("draining", 20), recycled()], 124) == [2]
    assert to_start([running("draining", 20), recycled(leaving_since=0.0)], 124) == [2]


def test_a_process_that_failed_starts_again_while_others_run() -> None:
    assert to_start(states("failed", ("running", "draining")), 0) == [1]


def test_nothing_starts_again_by_itself_once_all_have_ended() -> None:
    assert to_start(states("failed", "recycled"), 0) == []


def ended(number: int, phase: str, ended_at: float) -> ProcessState:
    return ProcessState(number=number, phase=Phase(phase), ended_at=ended_at)


@pytest.mark.parametrize("other", ["recycled", "failed"])
def test_a_node_that_is_stopped_does_not_begin_again_for_what_ended_before(other: str) -> None:
    assert next_step([ended(1, "stopped", 130), ended(2, other, 120)]) is NodeStep.END
    assert next_step([ended(1, "stopped", 110), ended(2, other, 120)]) is not NodeStep.END


def pair(
    old: str, new: str, desired_state: str = "replacing", *, ended_at: float = 50.0
) -> list[ProcessState]:
    """Return a process, and the one that takes over its sessions."""
    ends = {it: 0.0 if it == "running" else ended_at for it in (old, new)}
    return [
        ProcessState(
            number=1,
            phase=Phase(old),
            desired_state=desired_state,
            replaced_by=2,
            ended_at=ends[old],
        ),
        ProcessState(number=2, phase=Phase(new), replaces=1, ended_at=ends[new]),
    ]


def test_a_process_that_is_to_be_replaced_gets_one_successor() -> None:
    assert to_replace(states(("running", "replacing"), "running")) == [1]
    assert to_replace(pair("running", "running")) == []
    assert to_replace(states(("recycled", "replacing"))) == []


@pytest.mark.parametrize("old", ["recycled", "failed"])
@pytest.mark.parametrize("new", ["running", "failed"])
def test_a_process_that_has_ended_is_forgotten_when_it_has_a_successor(old: str, new: str) -> None:
    """Otherwise both would begin again, and the node had one process too many."""
    both = pair(old, new)
    assert to_forget(both, 100) == [1]
    assert 1 not in to_start([*both, running("ready")], 100)
    assert to_forget(pair("running", "running"), 100) == []


def test_a_successor_that_cannot_start_is_tried_again() -> None:
    assert to_start(pair("running", "failed"), 100) == [2]
    assert to_start([pair("recycled", "failed")[1], running()], 100) == [2]


def test_a_successor_that_was_stopped_gets_a_successor_after_the_news_of_the_others() -> None:
    stopped = pair("running", "stopped", ended_at=99)
    assert (to_forget(stopped, 100), to_replace(stopped)) == ([], [])
    assert to_forget(stopped, 103) == [2]
    assert to_forget(pair("running", "stopped", "stopping", ended_at=99), 103) == []


def test_a_process_begins_again_whose_successor_was_stopped() -> None:
    assert to_start([*pair("recycled", "stopped"), replace(running(), number=3)], 100) == [1]


def test_a_process_that_is_stopped_takes_its_successor_with_it() -> None:
    """The successor may have had no name yet when the node was to stop."""
    assert to_stop(pair("stopped", "running")) == [2]
    assert to_forget(pair("stopped", "running"), 100) == []
    assert to_forget(pair("stopped", "failed"), 100) == [2]
    assert to_start([*pair("stopped", "failed"), running()], 100) == []
    assert to_stop(pair("running", "running")) == []
    assert to_stop(pair("recycled", "running")) == []


def test_a_node_restarts_as_a_whole_when_neither_runs() -> None:
    assert next_step(pair("recycled", "failed")) is NodeStep.RESTART


def test_a_process_that_was_stopped_stays_stopped() -> None:
    assert to_start(states("running", "stopped"), 100) == []


@pytest.mark.parametrize(("total", "processes"), [(1, 8), (10, 64), (16, 5), (100, 1), (64, 64)])
def test_the_processes_of_a_node_have_no_more_room_than_the_node(
    total: int, processes: int
) -> None:
    begun = count(processes, total)
    shares = [share(total, begun, it) for it in range(1, begun + 1)]
    assert sum(shares) == total
    assert min(shares) >= 1 and max(shares) - min(shares) <= 1
