from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afx.coordinator.decisions import liveness
from afx.coordinator.decisions.epochs import EPOCH_MAX, EpochCounter
from afx.coordinator.decisions.token_bucket import Bucket, refilled, spent
from afx.lease import PROFILES

FAST = PROFILES["fast"]


def test_a_new_observer_waits_a_whole_lease_before_it_declares_a_death() -> None:
    seen = liveness.observe({}, [("a", 7)], now=1000.0)
    assert liveness.health(seen["a"], 1000.0, FAST) == "alive"
    assert liveness.health(seen["a"], 1000.0 + FAST.leader - 0.01, FAST) == "suspect"
    assert liveness.health(seen["a"], 1000.0 + FAST.leader, FAST) == "silent"


def test_a_heartbeat_makes_a_suspect_alive_again() -> None:
    seen = liveness.observe({}, [("a", 1)], now=0.0)
    seen = liveness.observe(seen, [("a", 2)], now=3.0)
    assert liveness.health(seen["a"], 3.5, FAST) == "alive"


def test_an_unchanged_heartbeat_is_no_sign_of_life() -> None:
    seen = liveness.observe({}, [("a", 1)], now=0.0)
    for now in (1.0, 2.0, 3.0):
        seen = liveness.observe(seen, [("a", 1)], now=now)
    assert liveness.health(seen["a"], 4.0, FAST) == "silent"


def test_a_node_that_is_gone_from_the_registry_is_forgotten() -> None:
    assert liveness.observe({"a": liveness.Sighting(1, 0.0)}, [], now=1.0) == {}


def test_a_fenced_node_is_replaced_only_after_the_lock_delay() -> None:
    assert not liveness.may_take_over(10.0, 10.0 + FAST.lock_delay - 0.01, FAST)
    assert liveness.may_take_over(10.0, 10.0 + FAST.lock_delay, FAST)


def test_epochs_rise_within_and_across_generations() -> None:
    first, second = EpochCounter(1), EpochCounter(2)
    taken = [first.take(), first.take(), second.take()]
    assert taken == sorted(set(taken))


def test_epochs_end_where_luas_numbers_are_no_longer_exact() -> None:
    counter = EpochCounter((EPOCH_MAX >> 32) + 1)
    with pytest.raises(OverflowError):
        counter.take()


@given(
    st.lists(st.tuples(st.floats(0, 10), st.integers(0, 50)), max_size=30),
    st.floats(0.1, 100),
    st.integers(1, 60),
)
def test_a_bucket_never_gives_more_than_its_burst_and_rate(
    steps: list[tuple[float, int]], rate: float, burst: int
) -> None:
    bucket, now, given_out = Bucket(burst, 0.0), 0.0, 0
    for rest, wanted in steps:
        now += rest
        bucket = refilled(bucket, now, rate, burst)
        taken = min(wanted, int(bucket.tokens))
        bucket = spent(bucket, taken)
        given_out += taken
    assert given_out <= burst + rate * now + 1e-6
