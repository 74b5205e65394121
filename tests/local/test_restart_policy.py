"""When a process that ended is started again, and when it is given up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from afx.local.restart_policy import GiveUp, Restart, RestartPolicy

POLICY = RestartPolicy(
    first_delay_seconds=0.5, longest_delay_seconds=3.0, stable_seconds=60.0, most_early_ends=5
)
seconds = st.floats(0, 1e6)


def decisions(ran: list[float], policy: RestartPolicy = POLICY) -> list[Restart | GiveUp]:
    """Return the decisions for a process that ran so long each time, up to a GiveUp."""
    found: list[Restart | GiveUp] = []
    early_ends = 0
    for it in ran:
        found.append(policy.decide(early_ends, it))
        early_ends = found[-1].early_ends
        if isinstance(found[-1], GiveUp):
            break
    return found


def test_the_delay_doubles_with_each_early_end_up_to_the_longest() -> None:
    found = decisions([1.0] * 4)
    assert [it.delay_seconds for it in found if isinstance(it, Restart)] == [0.5, 1.0, 2.0, 3.0]


def test_a_process_that_fails_five_times_in_a_row_is_not_restarted() -> None:
    assert decisions([1.0] * 9)[-1] == GiveUp(5)
    assert len(decisions([1.0] * 9)) == 5


def test_a_stable_run_clears_the_record() -> None:
    assert decisions([1.0] * 4 + [60.0] + [1.0] * 4)[-1] == Restart(3.0, 4)


@given(st.lists(st.floats(60, 1e6)))
def test_a_process_that_runs_stably_each_time_is_restarted_for_ever(ran: list[float]) -> None:
    assert all(it == Restart(0.5, 0) for it in decisions(ran))


@given(st.lists(seconds, max_size=60))
def test_the_fifth_early_failure_in_a_row_is_the_last(ran: list[float]) -> None:
    found = decisions(ran)
    row = 0
    for it, decision in zip(ran, found, strict=False):
        row = row + 1 if it < 60 else 0
        assert isinstance(decision, GiveUp) == (row == 5)
        assert decision.early_ends == row


@given(seconds, st.integers(0, 3))
def test_no_delay_is_longer_than_the_longest(ran: float, early_ends: int) -> None:
    decision = POLICY.decide(early_ends, ran)
    assert isinstance(decision, Restart)
    assert 0 < decision.delay_seconds <= 3.0
