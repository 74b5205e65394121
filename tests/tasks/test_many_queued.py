"""A hundred thousand queued tasks: Redis has a window of them only."""

from __future__ import annotations

import pytest
from support.task_bench import TaskBench

from models.storage import tasks

MIB = 1 << 20
WINDOW = 400
"""Of one node, for each priority."""


@pytest.mark.faults
def test_a_hundred_thousand_queued_tasks_take_little_of_redis(bench: TaskBench) -> None:
    bench.add_node("w1", may_take=lambda: False)
    before = bench.redis.info("memory")["used_memory"]
    text = '{"seconds":0.0}'
    for priority in (0, 1, 2, 3):
        for _ in range(25):
            bench.probe(1000, text, priority=priority, user=priority + 1)
            bench.tick()  # a leader that does not tick for seconds is no longer one
    for _ in range(10):
        bench.tick()
    published = tasks.counts()
    assert {published[it, "published"] for it in (0, 1, 2, 3)} <= set(range(200, WINDOW + 1))
    took = bench.redis.info("memory")["used_memory"] - before
    print(f"100,000 queued tasks take {took / MIB:.2f} MiB of Redis")
    assert took < 150 * MIB
    assert took / sum(published[it, "published"] for it in (0, 1, 2, 3)) < 4096
