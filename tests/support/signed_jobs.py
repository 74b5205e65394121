"""Jobs that a test writes to Redis itself, and what a node refuses."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from typing import Any

import redis as redis_module
from support.executors import INCARNATION, RunningExecutor

from afx.cluster import keys, queues, refused_jobs
from afx.cluster.job_envelope import JobEnvelope, SealedJob


def push_job(executor: RunningExecutor, job_id: str, fields: dict[str, Any]) -> None:
    pipe = executor.raw.pipeline()
    pipe.delete(f"rq:job:{job_id}")
    pipe.hset(f"rq:job:{job_id}", mapping={"origin": executor.queue, "status": "queued", **fields})
    pipe.rpush(executor.queue_key, job_id)
    pipe.execute()


def rq_call(*parts: Any) -> bytes:
    return zlib.compress(json.dumps(parts).encode())


def refused_rows(redis: redis_module.Redis) -> list[dict[str, str]]:
    return [fields for _id, fields in redis.xrange(keys.JOBS_REFUSED)]


def order_envelope(**change: Any) -> JobEnvelope:
    good = JobEnvelope(
        purpose="order",
        audience=INCARNATION,
        job_id="job",
        kind=queues.START,
        arguments={"term": 1, "sessions": [[66, 6]]},
        issued=0.0,
        expires=9e9,
        nonce="nonce",
    )
    return replace(good, **change)


def sealed_fields(sealed: SealedJob) -> dict[str, Any]:
    return {"data": sealed.data, "signature": sealed.signature}


def assert_refused(executor: RunningExecutor, redis: redis_module.Redis, reason: str) -> None:
    """A refused job is counted and removed, and the next order is carried out."""
    executor.send_good_order(7)
    assert executor.started == [(7, 1)]
    assert refused_jobs.count(redis) == 1
    assert [it["reason"] for it in refused_rows(redis)] == [reason]
    assert not redis.llen(executor.queue_key)
    executor.wait(
        "the intermediate queue is empty",
        lambda: not redis.llen(f"{executor.queue_key}:intermediate"),
    )
