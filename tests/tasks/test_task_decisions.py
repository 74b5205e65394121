"""What becomes of a task after a run, and how a node shares its slots: pure decisions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afx.coordinator.decisions.task_endings import RunEnd, back_off_seconds, next_state
from afx.tasks.slots import room_by_priority


@pytest.mark.parametrize(
    ("end", "attempts", "state", "cost"),
    [
        (RunEnd.SUCCEEDED, 2, "succeeded", 1),
        (RunEnd.FAILED, 0, "failed", 1),
        (RunEnd.CANCELLED, 0, "cancelled", 1),
        (RunEnd.TRY_AGAIN, 0, "waiting", 1),
        (RunEnd.TRY_AGAIN, 2, "failed", 1),
        (RunEnd.SNOOZED, 2, "waiting", 0),
        (RunEnd.MOVED, 2, "queued", 0),
        (RunEnd.NOT_RUN, 2, "queued", 0),
        (RunEnd.NODE_DIED, 1, "queued", 1),
        (RunEnd.NODE_DIED, 2, "failed", 1),
    ],
)
def test_the_end_of_a_run_has_one_consequence(
    end: RunEnd, attempts: int, state: str, cost: int
) -> None:
    found = next_state(end, attempts=attempts, max_attempts=3, cancelling=False, jitter=0.5)
    assert (found.state, found.attempts) == (state, cost)


@pytest.mark.parametrize("end", list(RunEnd))
def test_a_task_that_is_to_be_cancelled_runs_no_more(end: RunEnd) -> None:
    found = next_state(end, attempts=0, max_attempts=3, cancelling=True, jitter=0.5)
    assert found.is_final


@pytest.mark.parametrize("end", list(RunEnd))
@pytest.mark.parametrize("cancelling", [False, True])
def test_a_task_that_is_to_be_paused_is_paused_unless_it_is_over(
    end: RunEnd, cancelling: bool
) -> None:
    found = next_state(
        end, attempts=2, max_attempts=3, cancelling=cancelling, jitter=0.5, pausing=True
    )
    is_over = cancelling or end in (RunEnd.SUCCEEDED, RunEnd.FAILED)
    assert found.is_final is is_over
    assert is_over or (found.state, found.attempts) == ("paused", 0)


def test_a_wait_of_telegram_is_waited_for_in_full() -> None:
    found = next_state(
        RunEnd.SNOOZED, attempts=0, max_attempts=1, cancelling=False, jitter=0.5, pause_seconds=90
    )
    assert found.pause_seconds == 90.5


@given(attempts=st.integers(1, 10_000), jitter=st.floats(0, 1))
def test_the_back_off_is_exponential_with_jitter_and_has_a_bound(
    attempts: int, jitter: float
) -> None:
    whole = min(3600.0, 2.0 * 4.0 ** min(attempts - 1, 20))
    assert whole / 2 <= back_off_seconds(attempts, jitter) <= whole


def test_the_first_back_offs_are_those_of_the_documentation() -> None:
    assert [back_off_seconds(it, 1.0) for it in (1, 2, 3)] == [2, 8, 32]


counts = st.lists(st.integers(0, 50), min_size=4, max_size=4)


@given(slots=st.integers(4, 500), running=counts)
def test_no_more_tasks_are_taken_than_there_are_slots(slots: int, running: list[int]) -> None:
    room, most = room_by_priority(slots, running)
    assert room == max(0, slots - sum(running))
    assert all(0 <= it <= room for it in most)


@given(slots=st.integers(20, 500))
def test_each_queue_finds_a_slot_however_full_the_others_keep_the_node(slots: int) -> None:
    """Whoever comes first, a low task finds a slot, and a premium one finds many."""
    running = [0, 0, 0, 0]
    for priority in range(3):
        _, most = room_by_priority(slots, running)
        running[priority] += most[priority]
    assert room_by_priority(slots, running)[1][3] >= 1
    _, most = room_by_priority(slots, [0, 0, 0, room_by_priority(slots, [0] * 4)[1][3]])
    assert most[0] >= slots * 0.3
