"""A Redis that is back from a snapshot of the present generation."""

from __future__ import annotations

import pytest
from support.term_harness import TermHarness, add, placed, running

from afx.cluster import keys
from afx.coordinator import generations
from models.storage import cluster
from models.tables import ClusterState, SessionAssignment


@pytest.mark.parametrize(("appendonly", "waits"), [("no", True), ("yes", False)])
def test_a_redis_that_stores_snapshots_alone_may_be_old_when_it_was_started_anew(
    harness: TermHarness, appendonly: str, waits: bool
) -> None:
    harness.add_node("w1")
    [session] = add("alice", 1)
    harness.until(lambda: running() == {session})
    harness.kill_node("w1")  # it runs on, and reaches no one
    ClusterState.update(reports_run_id="the process before").execute()
    harness.redis.config_set("appendonly", appendonly)
    SessionAssignment.delete().execute()  # SQL has lost its last commits, too
    harness.redis.flushall()
    harness.redis.set(keys.GENERATION, cluster.generation())
    try:
        harness.change_leader()
    finally:
        harness.redis.config_set("appendonly", "no")
    harness.add_node("w2")
    begun = harness.now
    harness.until(lambda: placed() == {session: "w2"})
    assert (harness.now - begun >= 4.9) is waits


def test_a_leader_that_has_read_no_report_yet_knows_a_redis_that_was_replaced(
    harness: TermHarness,
) -> None:
    run_id = harness.leadership.run_id
    harness.until(lambda: cluster.last_run_id() == run_id)
    ClusterState.update(reports_run_id="the process before").execute()
    harness.change_leader()
    harness.until(lambda: cluster.last_run_id() == run_id)


def test_the_next_leader_waits_for_an_earlier_primary_as_long_as_one_that_dies_early(
    harness: TermHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generations, "split_seconds", lambda *_: 8.0)
    ClusterState.update(reports_run_id="the primary before").execute()
    harness.change_leader()
    harness.add_node("w1")
    [session] = add("alice", 1)
    begun = harness.now
    harness.until(lambda: running() == {session})
    assert harness.now - begun < 7.9, "reports were read"
    run_id = harness.leadership.run_id
    # Nor does one know the primary before as the last, should it take its place back.
    assert cluster.last_run_id() not in ("", "the primary before", run_id)
    harness.until(lambda: cluster.last_run_id() == run_id)
    assert harness.now - begun >= 7.9
    assert (
        cluster.reports_read(run_id)
        == harness.redis.xinfo_stream(keys.REPORTS)["last-generated-id"]
    )


def test_a_wait_that_redis_knows_of_is_kept_when_sql_knows_no_generation(
    harness: TermHarness,
) -> None:
    [session] = add("alice", 1)
    ClusterState.update(generation=0).execute()
    harness.redis.delete(keys.GENERATION, keys.GENERATION_PROOF)
    harness.redis.set(keys.UNSETTLED, 1, px=5_000)
    harness.change_leader()
    harness.add_node("w1")
    begun = harness.now
    harness.until(lambda: placed() == {session: "w1"})
    assert harness.now - begun >= 4.5
