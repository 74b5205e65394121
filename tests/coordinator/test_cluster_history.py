"""The leader stores a row about the whole cluster each minute."""

from __future__ import annotations

from support.term_harness import TermHarness, add

from models.base import utc_now
from models.storage import cluster_analytics


def test_a_minute_of_the_cluster_is_stored(harness: TermHarness) -> None:
    harness.add_node("w1", most=10)
    add("alice", 12)
    harness.until(lambda: len(harness.overflow()) == 2)
    before = utc_now().replace(second=0, microsecond=0)
    for _ in range(40):
        harness.tick(2.0)
    rows = cluster_analytics.series(before)
    assert len(rows) >= 1
    assert (rows[-1]["nodes"], rows[-1]["sessions_limit"]) == (1, 10)
    assert rows[-1]["waiting_max"] == 2
    assert rows[-1]["desired"] >= 1
