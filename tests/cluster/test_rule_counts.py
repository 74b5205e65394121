"""Counts of rules in reports: buckets of latencies, percentiles, what is malformed."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from afx.cluster import reports
from afx.cluster.rule_counts import (
    BUCKETS,
    RuleTally,
    add_latencies,
    bucket_of,
    percentile,
    reports_of,
    tallies_of,
)

latencies = st.lists(st.floats(0, 500), min_size=1, max_size=50)
counts = st.integers(0, 2**31 - 1)
tallies = st.dictionaries(
    st.integers(1, 2**31 - 1),
    st.builds(
        RuleTally,
        *[counts] * 4,
        st.dictionaries(st.integers(0, BUCKETS - 1), st.integers(1, 2**31 - 1)),
    ),
    max_size=20,
)


def histogram(seconds: list[float]) -> dict[int, int]:
    found: dict[int, int] = {}
    for it in seconds:
        add_latencies(found, {bucket_of(it): 1})
    return found


@settings(deadline=None)
@given(latencies, st.sampled_from([0.5, 0.9, 0.99]))
def test_a_percentile_is_in_the_bucket_of_the_exact_one(seconds: list[float], share: float) -> None:
    exact = sorted(seconds)[max(0, -(-int(share * 100) * len(seconds) // 100) - 1)]
    found = percentile(histogram(seconds), share)
    assert found is not None
    bucket = bucket_of(exact)
    low = 0 if bucket == 0 else 2 ** (bucket - 1) / 1000
    assert low <= found <= 2**bucket / 1000


@settings(deadline=None)
@given(latencies, latencies)
def test_histograms_of_two_times_add_up(first: list[float], second: list[float]) -> None:
    sums = histogram(first)
    add_latencies(sums, histogram(second))
    assert sums == histogram([*first, *second])


def test_there_is_no_percentile_of_nothing() -> None:
    assert percentile({}, 0.5) is None
    assert (bucket_of(0), bucket_of(-1), bucket_of(10**6)) == (0, 0, BUCKETS - 1)


@settings(deadline=None)
@given(tallies)
def test_tallies_are_read_as_they_were_reported(sent: dict[int, RuleTally]) -> None:
    made = reports_of(sent, node="w1", incarnation="one")
    read, refused = reports.decode("1-1", reports.encode(made))
    assert not refused
    assert tallies_of([it for it in read if isinstance(it, reports.RulesCounted)]) == sent


def test_what_is_malformed_in_a_report_is_left_out() -> None:
    [good] = reports_of({7: RuleTally(1, latencies={3: 1})}, node="w1", incarnation="one")
    bad = [
        replace(good, waits=()),
        replace(good, rule_ids=(7, 8)),
        replace(good, latencies=(5, 1, 1, 0, BUCKETS, 1, 0, 1)),
    ]
    assert tallies_of(bad) == {7: RuleTally(1)}
    row = {**json.loads(reports.encode([good])["reports"])[0], "forwarded": [2**31]}
    assert len(reports.decode("1-1", {"reports": json.dumps([row])})[1]) == 1


def test_a_count_that_is_too_large_for_a_report_is_reported_as_the_largest() -> None:
    [found] = reports_of({7: RuleTally(2**40, latencies={0: 2**40})}, node="w1", incarnation="one")
    assert tallies_of([found]) == {7: RuleTally(2**31 - 1, latencies={0: 2**31 - 1})}
