"""Whoever writes to Redis runs nothing on a node, and stops no order."""

from __future__ import annotations

import json
import pickle
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis as redis_module
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rq import Queue, Worker
from rq.serializers import JSONSerializer
from support.executors import INCARNATION, KEYS, NODE, RunningExecutor

from afx.cluster import keys, queues, refused_jobs
from afx.cluster.job_envelope import JobEnvelope, SealedJob, seal_envelope
from afx.security.signing import SigningKeys


@pytest.fixture
def executor(redis_url: str) -> Iterator[RunningExecutor]:
    running = RunningExecutor(redis_url)
    yield running
    running.close()


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "it-ran"


def push(executor: RunningExecutor, job_id: str, fields: dict[str, Any]) -> None:
    pipe = executor.raw.pipeline()
    pipe.delete(f"rq:job:{job_id}")
    pipe.hset(f"rq:job:{job_id}", mapping={"origin": executor.queue, "status": "queued", **fields})
    pipe.rpush(executor.queue_key, job_id)
    pipe.execute()


def call(*parts: Any) -> bytes:
    return zlib.compress(json.dumps(parts).encode())


def refused(redis: redis_module.Redis) -> list[dict[str, str]]:
    return [fields for _id, fields in redis.xrange(keys.JOBS_REFUSED)]


def envelope(**change: Any) -> JobEnvelope:
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
    """A refused job is counted and gone, and the next order is carried out."""
    executor.send_good_order(7)
    assert executor.started == [(7, 1)]
    assert refused_jobs.count(redis) == 1
    assert [it["reason"] for it in refused(redis)] == [reason]
    assert not redis.llen(executor.queue_key)
    executor.wait(
        "nothing is left half taken", lambda: not redis.llen(f"{executor.queue_key}:intermediate")
    )


def test_a_forged_call_of_os_system_does_not_run(
    executor: RunningExecutor, redis: redis_module.Redis, marker: Path
) -> None:
    push(executor, "forged", {"data": call("os.system", None, [f"touch {marker}"], {})})
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
        push(executor, "forged", {"data": data, "result": data, "meta": data})
    executor.send_good_order(7)
    assert {it["reason"] for it in refused(redis)} == {"fields"}
    push(executor, "forged", {"data": pickle.dumps(Bomb())})
    executor.send_good_order(8)
    assert refused(redis)[-1]["reason"] == "signature"
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
    sealed = seal_envelope(KEYS, envelope())
    push(executor, "job", {**sealed_fields(sealed), field: "os.system"})
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
    push(executor, "job", sealed_fields(seal_envelope(KEYS, envelope(**change))))
    assert_refused(executor, redis, reason)


def test_a_job_of_another_cluster_is_refused(
    executor: RunningExecutor, redis: redis_module.Redis
) -> None:
    push(executor, "job", sealed_fields(seal_envelope(SigningKeys([b"other" * 7]), envelope())))
    assert_refused(executor, redis, "signature")


def test_an_altered_job_is_refused(executor: RunningExecutor, redis: redis_module.Redis) -> None:
    sealed = seal_envelope(KEYS, envelope())
    altered = seal_envelope(KEYS, envelope(arguments={"term": 1, "sessions": [[67, 6]]}))
    push(executor, "job", sealed_fields(SealedJob(altered.data, sealed.signature)))
    assert_refused(executor, redis, "signature")


def test_an_instance_method_is_refused(
    executor: RunningExecutor, redis: redis_module.Redis
) -> None:
    data = call("run", "subprocess", ["true"], {})
    push(executor, "job", {"data": data, "signature": KEYS.sign(b"afx job", data)})
    assert_refused(executor, redis, "form")


def test_a_replayed_job_runs_once(executor: RunningExecutor, redis: redis_module.Redis) -> None:
    fields = sealed_fields(seal_envelope(KEYS, envelope()))
    push(executor, "job", fields)
    executor.wait("it has run", lambda: executor.started)
    push(executor, "job", fields)
    redis.rpush(executor.queue_key, "job", "job")
    executor.send_good_order(7)
    assert executor.started == [(66, 6), (7, 1)]
    assert {it["reason"] for it in refused(redis)} == {"replayed"}
    assert refused_jobs.count(redis) == 3


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
    push(executor, "job", {"data": data})
    assert_refused(executor, redis, reason)


def test_a_huge_field_is_not_read(executor: RunningExecutor, redis: redis_module.Redis) -> None:
    sealed = sealed_fields(seal_envelope(KEYS, envelope()))
    push(executor, "job", {**sealed, "description": b"x" * 50_000_000})
    executor.wait("it has run", lambda: executor.started)
    push(executor, "other", {str(number): "x" for number in range(100)})
    executor.send_good_order(7)
    assert [it["reason"] for it in refused(redis)] == ["form"]


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


def test_an_id_whose_hash_has_expired_is_passed_over(
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


@pytest.mark.parametrize("command", ["shutdown", "kill-horse", "stop-job", "stop-execution"])
def test_a_published_command_reaches_no_worker(
    executor: RunningExecutor, redis: redis_module.Redis, command: str
) -> None:
    executor.send_good_order(7)
    (worker_key,) = redis.smembers("rq:workers")
    name = str(worker_key).removeprefix("rq:worker:")
    heard = redis.publish(f"rq:pubsub:{name}", json.dumps({"command": command, "job_id": "job"}))
    assert heard == 0
    executor.send_good_order(8)
    assert redis.smembers("rq:workers") == {worker_key}


def test_a_suspension_stops_no_order(executor: RunningExecutor, redis: redis_module.Redis) -> None:
    redis.set("rq:suspended", "1")
    executor.send_good_order(7)


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


def test_dependents_that_someone_adds_are_not_enqueued(
    executor: RunningExecutor, redis: redis_module.Redis, marker: Path
) -> None:
    push(executor, "later", {"data": call("os.system", None, [f"touch {marker}"], {})})
    redis.sadd("rq:job:job:dependents", "later")
    redis.hset("rq:job:later", mapping={"status": "deferred", "dependency_ids": '["job"]'})
    push(executor, "job", sealed_fields(seal_envelope(KEYS, envelope())))
    executor.wait("it has run", lambda: executor.started)
    executor.send_good_order(7)
    assert not marker.exists()
    assert redis.hget("rq:job:later", "status") == "deferred"


def test_forged_records_of_rqs_own_cleanup_are_never_read(
    redis_url: str, redis: redis_module.Redis, marker: Path
) -> None:
    queue = queues.node(NODE, INCARNATION)
    data = call("os.system", None, [f"touch {marker}"], {})
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
    assert {it["reason"] for it in refused(redis)} == {"fields", "job_id"}
    assert not redis.exists(f"rq:failed:{queue}")


def test_an_order_that_was_taken_when_redis_went_away_is_run_by_the_next_worker(
    redis_url: str, redis: redis_module.Redis
) -> None:
    running = RunningExecutor(redis_url)
    try:
        running.send_good_order(7)
    finally:
        running.close()
    sealed = seal_envelope(KEYS, envelope())
    redis.delete(running.queue_key)
    redis.hset("rq:job:job", mapping=sealed_fields(sealed))  # type: ignore[arg-type]
    redis.rpush(f"{running.queue_key}:intermediate", "job")
    again = RunningExecutor(redis_url)
    try:
        again.wait("it is run", lambda: again.started == [(66, 6)])
    finally:
        again.close()


def test_hosts_whose_keys_are_in_different_orders_run_each_others_orders(
    redis_url: str, redis: redis_module.Redis
) -> None:
    from afx.coordinator.orders import Orders

    one, other = b"1" * 32, b"2" * 32
    running = RunningExecutor(redis_url, SigningKeys([one, other]))
    try:
        orders = Orders(running.raw, SigningKeys([other, one]), 60.0)
        orders.send("start", 1, NODE, INCARNATION, [(7, 1)])
        running.wait("it is carried out", lambda: running.started == [(7, 1)])
    finally:
        running.close()
    assert refused_jobs.count(redis) == 0


def test_the_stream_of_refused_jobs_is_bounded_and_the_count_is_not(
    executor: RunningExecutor, redis: redis_module.Redis
) -> None:
    executor.raw.rpush(executor.queue_key, *(b"bad id %d" % number for number in range(1200)))
    executor.send_good_order(7)
    assert refused_jobs.count(redis) == 1200
    assert redis.xlen(keys.JOBS_REFUSED) == 1000
    assert refused(redis)[-1]["job_id"] == "bad id 1199"


def test_an_order_to_stop_is_carried_out_and_its_result_expires(
    executor: RunningExecutor, redis: redis_module.Redis
) -> None:
    executor.orders.send("stop", 1, NODE, INCARNATION, [(number, 1) for number in range(150)])
    executor.wait("both orders are carried out", lambda: len(executor.stopped) == 150)
    executor.wait(
        "every record of a job expires",
        lambda: all(redis.ttl(it) > 0 for it in redis.keys("rq:job:*")),
    )
    executor.wait(
        "their results expire too",
        lambda: (
            (found := redis.keys("rq:results:*"))
            and len(found) == 2
            and all(redis.ttl(it) > 0 for it in found)
        ),
    )


def test_rqs_own_tools_see_the_worker_and_the_orders_that_wait(
    executor: RunningExecutor, redis: redis_module.Redis
) -> None:
    executor.send_good_order(7)
    (worker,) = Worker.all(executor.raw)
    assert worker.queue_names() == [executor.queue]
    executor.orders.send("start", 1, "w2", "two", [(5, 5)])
    queue = Queue(queues.node("w2", "two"), connection=executor.raw, serializer=JSONSerializer)
    (job,) = queue.jobs
    assert job.func_name == "jobs.sessions.start"
    assert job.kwargs["arguments"] == {"term": 1, "sessions": [[5, 5]]}
    assert job.description == "start sessions on w2"


def test_what_rq_keeps_of_a_dead_incarnation_is_removed(
    executor: RunningExecutor, redis: redis_module.Redis
) -> None:
    executor.send_good_order(7)
    redis.zadd(f"rq:failed:{executor.queue}", {"job": 1})
    executor.wait("its job is done", lambda: redis.exists(f"rq:finished:{executor.queue}"))
    executor.orders.forget(NODE, INCARNATION)
    assert [it for it in redis.keys("rq:*") if INCARNATION in it] == []
    assert executor.queue_key not in redis.smembers("rq:queues")
    assert not redis.smembers("rq:workers")


def test_every_kind_is_shown_under_a_function_that_there_is() -> None:
    import jobs.sessions

    for kind in (queues.START, queues.STOP, queues.WAIT):
        module, _, name = kind.rpartition(".")
        assert module == "jobs.sessions"
        assert callable(getattr(jobs.sessions, name))
    with pytest.raises(RuntimeError, match="stock RQ worker"):
        jobs.sessions.start()


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
