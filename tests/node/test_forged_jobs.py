"""A client that writes to Redis runs no function on a node."""

from __future__ import annotations

import pickle
import zlib
from pathlib import Path
from typing import Any

import pytest
import redis as redis_module
from support.executors import INCARNATION, KEYS, NODE, RunningExecutor
from support.signed_jobs import (
    assert_refused,
    order_envelope,
    push_job,
    refused_rows,
    rq_call,
    sealed_fields,
)

from afx.cluster import queues, refused_jobs
from afx.cluster.job_envelope import SealedJob, seal_envelope
from afx.security.signing import SigningKeys


def test_a_forged_call_of_os_system_does_not_run(
    executor: RunningExecutor, redis: redis_module.Redis, marker: Path
) -> None:
    push_job(executor, "forged", {"data": rq_call("os.system", None, [f"touch {marker}"], {})})
    assert_refused(executor, redis, "signature")
    assert not marker.exists()
    assert 0 < redis.ttl("rq:job:forged") <= 3600


def test_a_forged_pickle_is_not_loaded(
    executor: RunningExecutor, redis: redis_module.Redis, marker: Path
) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            import os

            return os.system, (f"touch {marker}",)

    for data in (pickle.dumps(Bomb()), zlib.compress(pickle.dumps(Bomb()))):
        push_job(executor, "forged", {"data": data, "result": data, "meta": data})
    executor.send_good_order(7)
    assert {it["reason"] for it in refused_rows(redis)} == {"fields"}
    push_job(executor, "forged", {"data": pickle.dumps(Bomb())})
    executor.send_good_order(8)
    assert refused_rows(redis)[-1]["reason"] == "signature"
    assert not marker.exists()


@pytest.mark.parametrize(
    "field",
    [
        "success_callback_name",
        "failure_callback_name",
        "stopped_callback_name",
        "webhooks",
        "dependency_ids",
        "dependency_id",
        "meta",
        "result",
        "exc_info",
        "retries_left",
        "repeats_left",
        "repeat_intervals",
        "group_id",
        "rate_limit_key",
        "unheard_of",
    ],
)
def test_a_signed_job_with_a_field_that_no_signature_covers_is_refused(
    executor: RunningExecutor, redis: redis_module.Redis, field: str
) -> None:
    sealed = seal_envelope(KEYS, order_envelope())
    push_job(executor, "job", {**sealed_fields(sealed), field: "os.system"})
    assert_refused(executor, redis, "fields")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"audience": "two"}, "audience"),
        ({"purpose": "task"}, "purpose"),
        ({"job_id": "another"}, "job_id"),
        ({"expires": 1.0}, "expired"),
        ({"kind": "os.system"}, "unknown_kind"),
        ({"kind": queues.WAIT}, "unknown_kind"),
        ({"arguments": {"term": 1, "sessions": [[66, 6]], "shell": True}}, "arguments"),
    ],
)
def test_a_signed_job_that_is_not_for_this_node_now_is_refused(
    executor: RunningExecutor, redis: redis_module.Redis, change: Any, reason: str
) -> None:
    push_job(executor, "job", sealed_fields(seal_envelope(KEYS, order_envelope(**change))))
    assert_refused(executor, redis, reason)


def test_a_job_of_another_cluster_is_refused(
    executor: RunningExecutor, redis: redis_module.Redis
) -> None:
    push_job(
        executor, "job", sealed_fields(seal_envelope(SigningKeys([b"other" * 7]), order_envelope()))
    )
    assert_refused(executor, redis, "signature")


def test_an_altered_job_is_refused(executor: RunningExecutor, redis: redis_module.Redis) -> None:
    sealed = seal_envelope(KEYS, order_envelope())
    altered = seal_envelope(KEYS, order_envelope(arguments={"term": 1, "sessions": [[67, 6]]}))
    push_job(executor, "job", sealed_fields(SealedJob(altered.data, sealed.signature)))
    assert_refused(executor, redis, "signature")


def test_an_instance_method_is_refused(
    executor: RunningExecutor, redis: redis_module.Redis
) -> None:
    data = rq_call("run", "subprocess", ["true"], {})
    push_job(executor, "job", {"data": data, "signature": KEYS.sign(b"afx job", data)})
    assert_refused(executor, redis, "form")


def test_a_replayed_job_runs_once(executor: RunningExecutor, redis: redis_module.Redis) -> None:
    fields = sealed_fields(seal_envelope(KEYS, order_envelope()))
    push_job(executor, "job", fields)
    executor.wait("it has run", lambda: executor.started)
    push_job(executor, "job", fields)
    redis.rpush(executor.queue_key, "job", "job")
    executor.send_good_order(7)
    assert executor.started == [(66, 6), (7, 1)]
    assert {it["reason"] for it in refused_rows(redis)} == {"replayed"}
    assert refused_jobs.count(redis) == 3


def test_dependents_that_someone_adds_are_not_enqueued(
    executor: RunningExecutor, redis: redis_module.Redis, marker: Path
) -> None:
    push_job(executor, "later", {"data": rq_call("os.system", None, [f"touch {marker}"], {})})
    redis.sadd("rq:job:job:dependents", "later")
    redis.hset("rq:job:later", mapping={"status": "deferred", "dependency_ids": '["job"]'})
    push_job(executor, "job", sealed_fields(seal_envelope(KEYS, order_envelope())))
    executor.wait("it has run", lambda: executor.started)
    executor.send_good_order(7)
    assert not marker.exists()
    assert redis.hget("rq:job:later", "status") == "deferred"


def test_forged_records_of_rqs_own_cleanup_are_never_read(
    redis_url: str, redis: redis_module.Redis, marker: Path
) -> None:
    queue = queues.node(NODE, INCARNATION)
    data = rq_call("os.system", None, [f"touch {marker}"], {})
    fields = {"data": data, "status": "started", "failure_callback_name": "os.system"}
    redis.hset("rq:job:abandoned", mapping=fields | {"origin": queue})  # type: ignore[arg-type]
    for name in ("wip", "failed", "finished", "deferred", "scheduled", "ready"):
        redis.zadd(f"rq:{name}:{queue}", {"abandoned:execution": 1, "abandoned": 1})
    redis.rpush(f"rq:queue:{queue}:intermediate", "abandoned", b"\xff")
    # A new worker runs its maintenance at once.
    running = RunningExecutor(redis_url)
    try:
        running.send_good_order(7)
    finally:
        running.close()
    assert not marker.exists()
    assert {it["reason"] for it in refused_rows(redis)} == {"fields", "job_id"}
    assert not redis.exists(f"rq:failed:{queue}")
