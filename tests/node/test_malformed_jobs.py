"""Malformed jobs and keys in Redis stop no order."""

from __future__ import annotations

import zlib
from typing import Any

import pytest
import redis as redis_module
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.executors import KEYS, RunningExecutor
from support.signed_jobs import (
    assert_refused,
    order_envelope,
    push_job,
    refused_rows,
    sealed_fields,
)

from afx.cluster import keys, queues, refused_jobs
from afx.cluster.job_envelope import seal_envelope


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"x" * 70_000, "too_large"),
        (zlib.compress(b" " * 50_000_000, 9), "signature"),
        (zlib.compress(b"[" * 100_000), "signature"),
        (b"", "signature"),
    ],
    ids=["oversized", "zip bomb", "deeply nested", "empty"],
)
def test_a_payload_that_would_cost_the_node_its_memory_is_refused(
    executor: RunningExecutor, redis: redis_module.Redis, data: bytes, reason: str
) -> None:
    push_job(executor, "job", {"data": data})
    assert_refused(executor, redis, reason)


def test_a_huge_field_is_not_read(executor: RunningExecutor, redis: redis_module.Redis) -> None:
    sealed = sealed_fields(seal_envelope(KEYS, order_envelope()))
    push_job(executor, "job", {**sealed, "description": b"x" * 50_000_000})
    executor.wait("it has run", lambda: executor.started)
    push_job(executor, "other", {str(number): "x" for number in range(100)})
    executor.send_good_order(7)
    assert [it["reason"] for it in refused_rows(redis)] == ["form"]


@pytest.mark.parametrize("entry", [b"\xff\xfe", b"a:b", b"", b"x" * 10_000, b"../x", "é".encode()])
def test_a_malformed_id_in_the_queue_is_refused(
    executor: RunningExecutor, redis: redis_module.Redis, entry: bytes
) -> None:
    executor.raw.rpush(executor.queue_key, entry)
    assert_refused(executor, redis, "job_id")


def test_a_job_key_of_another_type_is_refused(
    executor: RunningExecutor, redis: redis_module.Redis
) -> None:
    redis.set("rq:job:job", "text")
    redis.rpush(executor.queue_key, "job")
    assert_refused(executor, redis, "form")


def test_an_id_whose_hash_has_expired_is_skipped(
    executor: RunningExecutor, redis: redis_module.Redis
) -> None:
    redis.rpush(executor.queue_key, "gone")
    executor.send_good_order(7)
    assert refused_jobs.count(redis) == 0


def test_another_nodes_job_whose_id_is_pushed_here_stays_as_it_was(
    executor: RunningExecutor, redis: redis_module.Redis
) -> None:
    executor.orders.send("start", 1, "w2", "two", [(5, 5)])
    (job_id,) = redis.lrange(f"rq:queue:{queues.node('w2', 'two')}", 0, -1)
    before, ttl = executor.raw.hgetall(f"rq:job:{job_id}"), redis.ttl(f"rq:job:{job_id}")
    redis.rpush(executor.queue_key, job_id)
    assert_refused(executor, redis, "audience")
    assert executor.raw.hgetall(f"rq:job:{job_id}") == before
    assert redis.ttl(f"rq:job:{job_id}") <= ttl


def test_keys_of_a_wrong_type_end_a_worker_and_the_next_one_repairs_them(
    executor: RunningExecutor, redis: redis_module.Redis
) -> None:
    executor.send_good_order(7)
    pipe = redis.pipeline()
    for key in (
        executor.queue_key,
        f"{executor.queue_key}:intermediate",
        f"rq:finished:{executor.queue}",
        f"rq:wip:{executor.queue}",
        "rq:workers",
        f"rq:workers:{executor.queue}",
        *redis.keys("rq:worker:*"),
    ):
        pipe.delete(key)
        pipe.set(key, "text")
    pipe.execute()
    executor.wait("it has been repaired", lambda: redis.type(executor.queue_key) != "string", 30)
    executor.send_good_order(8)


def test_the_stream_of_refused_jobs_is_bounded_and_the_count_is_not(
    executor: RunningExecutor, redis: redis_module.Redis
) -> None:
    executor.raw.rpush(executor.queue_key, *(b"bad id %d" % number for number in range(1200)))
    executor.send_good_order(7)
    assert refused_jobs.count(redis) == 1200
    assert redis.xlen(keys.JOBS_REFUSED) == 1000
    assert refused_rows(redis)[-1]["job_id"] == "bad id 1199"


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    fields=st.dictionaries(
        st.one_of(
            st.sampled_from(
                ["data", "signature", "status", "origin", "timeout", "ttl", "created_at", "meta"]
            ),
            st.binary(min_size=1, max_size=20),
        ),
        st.binary(max_size=200),
        min_size=1,
        max_size=8,
    ),
    entry=st.one_of(st.just(b"fuzzed"), st.binary(max_size=40)),
    is_signed=st.booleans(),
)
def test_whatever_bytes_a_job_is_made_of_the_next_order_is_carried_out(
    executor: RunningExecutor, fields: dict[Any, bytes], entry: bytes, is_signed: bool
) -> None:
    executor.started.clear()
    if is_signed:
        data = fields.get("data", b"")
        fields = {**fields, "data": data, "signature": KEYS.sign(b"afx job", data)}
    executor.raw.delete("rq:job:fuzzed")
    executor.raw.hset("rq:job:fuzzed", mapping=fields)
    executor.raw.rpush(executor.queue_key, entry)
    executor.send_good_order(7)
    assert executor.started == [(7, 1)]
