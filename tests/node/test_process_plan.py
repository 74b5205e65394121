"""What becomes of a node when one of its host processes ends."""

from __future__ import annotations

import pytest

from afx.node.process_plan import NodeStep, Phase, ProcessState, next_step, to_start


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


def test_a_process_that_is_recycled_alone_starts_again_at_once() -> None:
    assert to_start(states("running", "recycled")) == [2]


def test_processes_that_are_recycled_together_wait_for_the_last_one() -> None:
    assert to_start(states(("running", "draining"), "recycled", "recycled")) == []
    assert to_start(states(("running", "recycling"), "recycled")) == []


def test_a_process_that_failed_starts_again_while_others_run() -> None:
    assert to_start(states("failed", ("running", "draining"))) == [1]


def test_nothing_starts_again_by_itself_once_all_have_ended() -> None:
    assert to_start(states("failed", "recycled")) == []


def test_a_process_that_was_stopped_stays_stopped() -> None:
    assert to_start(states("running", "stopped")) == []
