"""Orders are carried out once, and visible to RQ's own tools."""

from __future__ import annotations

import json

import pytest
import redis as redis_module
from rq import Queue, Worker
from rq.serializers import JSONSerializer
from support.executors import INCARNATION, KEYS, NODE, RunningExecutor
from support.signed_jobs import (
    order_envelope,
    sealed_fields,
)

from afx.cluster import queues, refused_jobs
from afx.cluster.job_envelope import seal_envelope
from afx.coordinator.rq_cleanup import RqCleanup
from afx.security.signing import SigningKeys


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


def test_an_order_that_was_taken_when_redis_went_away_is_run_by_the_next_worker(
    redis_url: str, redis: redis_module.Redis
) -> None:
    running = RunningExecutor(redis_url)
    try:
        running.send_good_order(7)
    finally:
        running.close()
    sealed = seal_envelope(KEYS, order_envelope())
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
    cleanup = RqCleanup(executor.raw, seconds=30.0)
    for now in (0.0, 31.0):
        cleanup.step([], now)
    assert [it for it in redis.keys("rq:*") if INCARNATION in it] == []
    assert executor.queue_key not in redis.smembers("rq:queues")
    assert not redis.smembers("rq:workers")


def test_every_kind_names_an_existing_function() -> None:
    import jobs.sessions

    for kind in (queues.START, queues.STOP, queues.RENEW, queues.WAIT):
        module, _, name = kind.rpartition(".")
        assert module == "jobs.sessions"
        assert callable(getattr(jobs.sessions, name))
    with pytest.raises(RuntimeError, match="stock RQ worker"):
        jobs.sessions.start()
