"""Jobs that nodes refused are in the audit log: once for each node and reason, with a count."""

from __future__ import annotations

from typing import Any

import pytest
from support.term_harness import AUDIT_KEY, TermHarness

from afx.cluster import events, keys, refused_jobs
from afx.cluster.refused_jobs import RefusalReason, RefusedJob
from afx.coordinator import job_refusals
from models.storage import audit

HOUR = 3600.0


def refuse(
    harness: TermHarness, count: int, reason: RefusalReason = RefusalReason.SIGNATURE
) -> None:
    for number in range(count):
        job = RefusedJob("default", f"task-{number}-1", reason, "why", node="w1")
        refused_jobs.record(harness.redis, job)


def entries() -> list[dict[str, Any]]:
    found = audit.listing(action="job.refused").rows
    assert all(it["target"] == "node/w1" for it in found)
    return [it["details"] for it in reversed(found)]


def test_an_attack_has_one_entry_for_each_reason_and_its_rest_an_hour_later(
    harness: TermHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.add_node("w1", 0)
    refuse(harness, 5)
    harness.until(lambda: len(entries()) == 1)
    refuse(harness, 7)
    refuse(harness, 2, RefusalReason.REPLAYED)
    harness.until(lambda: len(entries()) == 2)
    for _ in range(30):
        harness.tick()
    assert entries() == [
        {"reason": "signature", "count": 5, "total": 5},
        {"reason": "replayed", "count": 2, "total": 2},
    ]
    monkeypatch.setattr(job_refusals, "_QUIET_SECONDS", 5.0)
    refuse(harness, 1)
    harness.until(lambda: len(entries()) == 3)
    assert entries()[-1] == {"reason": "signature", "count": 8, "total": 13}
    assert audit.verify([AUDIT_KEY]).faults == ()
    kinds = [it["kind"] for it in events.watch(harness.redis, "0")[1]]
    assert kinds.count("jobs_refused") == 3


def test_the_rest_of_an_attack_that_is_over_is_written_too(
    harness: TermHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_refusals, "_QUIET_SECONDS", 5.0)
    harness.add_node("w1", 0)
    refuse(harness, 1)
    harness.until(lambda: len(entries()) == 1)
    refuse(harness, 9)
    harness.until(lambda: len(entries()) == 2)
    assert entries()[-1] == {"reason": "signature", "count": 9, "total": 10}


def test_a_new_leader_writes_no_entry_again(harness: TermHarness) -> None:
    harness.add_node("w1", 0)
    refuse(harness, 3)
    harness.until(lambda: len(entries()) == 1)
    harness.change_leader()
    for _ in range(30):
        harness.tick()
    refuse(harness, 1)
    for _ in range(30):
        harness.tick()
    assert len(entries()) == 1


def test_counts_that_somebody_has_written_to_redis_stop_nothing(harness: TermHarness) -> None:
    harness.add_node("w1", 0)
    harness.redis.hset(keys.jobs_refused_by("w1"), mapping={"signature": "x" * 99, "odd": "5"})
    harness.redis.set(keys.JOBS_REFUSED_COUNT, 5)
    for _ in range(30):
        harness.tick()
    harness.redis.delete(keys.jobs_refused_by("w1"))
    harness.redis.set(keys.jobs_refused_by("w1"), "no hash")
    refuse(harness, 1)
    for _ in range(30):
        harness.tick()
    assert entries() == []
