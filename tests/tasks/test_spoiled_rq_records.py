"""A spoiled record of RQ's does not swallow the tasks that a node takes."""

from __future__ import annotations

import asyncio

import pytest
import redis as redis_module

from afx.cluster import keys
from afx.cluster.connection import connect_async
from afx.tasks.rq_records import TaskRecords, worker_name


@pytest.mark.parametrize(
    "key",
    [
        f"rq:worker:{worker_name('w1', 'abc')}:executions",
        "rq:wip:default",
        "rq:execution:task-1-1:1",
    ],
)
def test_a_record_of_another_type_takes_no_job_out_of_its_queue(
    redis_url: str, redis: redis_module.Redis, key: str
) -> None:
    redis.hset(keys.worker("w1"), mapping={"incarnation": "abc", "state": "ready"})
    redis.hset("rq:job:task-1-1", mapping={"data": "x", "signature": "y"})
    redis.rpush("rq:queue:default", "task-1-1")
    redis.set(key, "spoiled")

    async def main() -> None:
        client = connect_async(redis_url)
        records = TaskRecords(client, "w1", "abc", lambda: 1_800_000_000.0)
        [job] = await records.fetch(10, [10, 10, 10, 10])
        assert job.job_id == "task-1-1"
        await client.aclose()

    asyncio.run(main())
