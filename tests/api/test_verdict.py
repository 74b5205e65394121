"""The sentence with which the overview begins."""

from __future__ import annotations

from typing import Any

import pytest

from afx.api.dashboard.verdict import judge
from afx.operations.cluster import ClusterStatus

STATUS: dict[str, Any] = {
    "leader": "c1:1",
    "term": 3,
    "nodes": 2,
    "nodes_known": 2,
    "not_ready": {},
    "redis_faults": {},
    "sessions": {"running": 5},
    "waiting": 0,
    "troubled": 0,
    "forwarded": 0,
    "controls": 0,
    "reports_refused": 0,
    "jobs_refused": 0,
    "specs_refused": 0,
    "audit_fault": "",
    "sandbox": False,
}


@pytest.mark.parametrize(
    ("changes", "tone", "says"),
    [
        ({}, "ok", "All messages flow"),
        ({"leader": None, "waiting": 3}, "crit", "No coordinator leads"),
        ({"nodes": 0}, "crit", "No node is alive; 5 sessions"),
        ({"audit_fault": "entry 3 was changed"}, "crit", "entry 3"),
        ({"waiting": 1}, "warn", "1 session waits"),
        ({"troubled": 4}, "warn", "4 sessions need a person"),
        ({"redis_faults": {"w1": "full"}}, "warn", "w1"),
        ({"jobs_refused": 2}, "warn", "2 records"),
    ],
)
def test_the_verdict_says_the_worst_thing(changes: dict[str, Any], tone: str, says: str) -> None:
    found = judge(ClusterStatus(**{**STATUS, **changes}))
    assert found.tone == tone and says in found.sentence
