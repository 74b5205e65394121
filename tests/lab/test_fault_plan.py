"""Plans of faults for soaks: the same seed, the same faults."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from afx.lab.fault_plan import LONGEST, Fault, chosen, mischief, plan

seeds = st.integers(0, 1 << 32)


@given(seeds)
def test_a_seed_gives_the_same_faults_again(seed: int) -> None:
    assert plan(seed, 600) == plan(seed, 600)


@given(seeds, st.floats(10, 600), st.floats(1, 600))
def test_a_longer_plan_starts_with_the_faults_of_a_shorter_one(
    seed: int, short: float, more: float
) -> None:
    before = plan(seed, short)
    assert plan(seed, short + more)[: len(before)] == before


@given(seeds, st.floats(10, 3600))
def test_every_fault_ends_within_the_plan_and_no_later_than_its_kind_may(
    seed: int, seconds: float
) -> None:
    for fault in plan(seed, seconds):
        assert fault.at + fault.seconds <= seconds + 0.01
        assert 0 <= fault.seconds <= LONGEST[fault.kind]
        assert chosen(["b", "a", "c"], fault.pick) in "abc"


def test_an_hour_has_every_kind_of_fault() -> None:
    assert {it.kind for it in plan(1, 3600)} == set(LONGEST)


def test_a_plan_without_kinds_is_empty() -> None:
    assert plan(1, 3600, kinds=()) == []


@given(st.floats(0, 1))
def test_mischief_has_shares_that_a_cluster_can_survive_and_a_seed_of_its_own(pick: float) -> None:
    fault = Fault(0.0, "mischief", 1.0, pick)
    caused = mischief(fault)
    assert caused.is_active and caused == mischief(fault)
    shares = (caused.omitted, caused.late, caused.doubled, caused.lagging, caused.shuffled)
    assert all(0 <= it <= 0.5 for it in shares)
    of_requests = (caused.lost_answers, caused.failed_answers, caused.lost_sessions)
    assert all(0 <= it <= 0.1 for it in of_requests)
