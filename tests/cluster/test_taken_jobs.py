"""Which jobs were taken: none twice, whatever is forgotten, at any rate."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afx.cluster.refused_jobs import RefusalReason, RefusedJobError
from afx.cluster.taken_jobs import TakenJobs


def refusal(taken: TakenJobs, nonce: str, issued: float, now: float) -> RefusalReason | None:
    try:
        taken.claim(nonce, issued=issued, expires=issued + 600, now=now)
    except RefusedJobError as error:
        return error.reason
    return None


def test_a_job_is_taken_once() -> None:
    taken = TakenJobs(10)
    assert refusal(taken, "a", 1000.2, 1000.3) is None
    assert refusal(taken, "a", 1000.2, 1001.0) is RefusalReason.REPLAYED
    assert refusal(taken, "b", 1000.2, 1001.0) is None


def test_new_jobs_are_taken_at_any_rate_while_old_ones_are_valid() -> None:
    taken = TakenJobs(100)
    for number in range(1000):
        assert refusal(taken, str(number), 1000 + number / 50, 1000 + number / 50) is None
    assert len(taken) <= 100


def test_what_was_forgotten_is_not_taken_again_nor_anything_that_was_signed_as_early() -> None:
    taken = TakenJobs(2)
    for number in range(4):
        assert refusal(taken, str(number), 1000.0 + number, 1010.0) is None
    assert refusal(taken, "0", 1000.0, 1010.0) is RefusalReason.EXPIRED
    assert refusal(taken, "new", 1000.5, 1010.0) is RefusalReason.EXPIRED
    assert refusal(taken, "new", 1003.5, 1010.0) is None


def test_many_jobs_of_one_second_are_all_remembered() -> None:
    taken = TakenJobs(2)
    for number in range(5):
        assert refusal(taken, str(number), 1000.0, 1000.0) is None
    for number in range(5):
        assert refusal(taken, str(number), 1000.0, 1000.0) is RefusalReason.REPLAYED


def test_expired_jobs_cost_no_memory_and_hold_up_no_signer_whose_clock_is_behind() -> None:
    taken = TakenJobs(2)
    for number in range(4):
        refusal(taken, str(number), 1000.0 + number, 1000.0)
    assert refusal(taken, "behind", 990.0, 1000.0) is RefusalReason.EXPIRED
    later = 1003.0 + 600 + 300 + 1
    assert refusal(taken, "behind", 990.0, later) is None
    assert len(taken) == 1


def test_a_clock_that_is_set_back_does_not_bring_back_what_has_expired() -> None:
    taken = TakenJobs(10)
    refusal(taken, "a", 1000.0, 1000.0)
    refusal(taken, "b", 1700.0, 1700.0)
    assert refusal(taken, "a", 1000.0, 1500.0) is RefusalReason.REPLAYED


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.integers(0, 20), st.floats(0, 30)), max_size=100),
    st.integers(1, 8),
)
def test_no_sequence_of_claims_takes_a_job_twice(
    claims: list[tuple[int, float]], limit: int
) -> None:
    taken, done = TakenJobs(limit), set()
    for nonce, at in claims:
        issued = float(nonce)  # a job's nonce and time are signed together
        if refusal(taken, str(nonce), issued, 100 + at) is None:
            assert nonce not in done
            done.add(nonce)


@pytest.mark.parametrize("issued", [-1e300, 1e300, -0.5])
def test_any_finite_time_is_taken(issued: float) -> None:
    assert refusal(TakenJobs(1), "a", issued, 0.0) is None
