"""Jobs that nobody of this cluster signed: refused before anything is resolved, and counted."""

from __future__ import annotations

import asyncio
import itertools
import json
import pickle
import sys
import time
import zlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.specs import SIGNING_KEYS
from support.task_bench import TaskBench

from afx.cluster import keys
from afx.cluster.job_envelope import JobEnvelope, SealedJob, seal_envelope
from afx.cluster.refused_jobs import RefusedJobError
from afx.cluster.task_jobs import ANY_NODE, TaskJob, encode_task
from afx.security.signing import SigningKeys
from afx.tasks.executor import TaskExecutor
from afx.tasks.kinds import KINDS
from afx.tasks.kinds.base import Idempotence
from afx.tasks.rq_records import FetchedJob
from models.storage import audit, tasks

GOOD = JobEnvelope(
    purpose="task",
    audience=ANY_NODE,
    job_id="task-900-1",
    kind="jobs.tasks.task_probe",
    arguments=encode_task(TaskJob(900, 1, 0, 1, 60, "{}", "")),
    issued=0.0,
    expires=4e9,
    nonce="n",
)
NEVER_IMPORTED = "antigravity"
CALL = zlib.compress(pickle.dumps(("os.system", None, ("true",), {})))
NUMBERS = itertools.count(1000)
HOSTILE = {
    "pickle": (CALL, b"", {}),
    "call": (zlib.compress(json.dumps(["os.system", None, ["true"], {}]).encode()), b"", {}),
    "import": (
        zlib.compress(json.dumps([f"{NEVER_IMPORTED}.run", None, [], {}]).encode()),
        b"",
        {"success_callback_name": f"{NEVER_IMPORTED}.run"},
    ),
    "raw bytes": (b"\xff\x00\x80", b"\xff", {}),
    "bomb": (zlib.compress(b" " * 50_000_000), b"", {}),
    "nested": (zlib.compress(b"[" * 100_000), b"", {}),
    "long data": (b"x" * 100_000, b"", {}),
    "long signature": (b"x", b"y" * 100_000, {}),
}


def sealed(**changes: Any) -> SealedJob:
    values = {it: getattr(GOOD, it) for it in JobEnvelope.__slots__}
    return seal_envelope(SIGNING_KEYS, JobEnvelope(**{**values, **changes}))


def push(bench: TaskBench, job_id: str, data: bytes, signature: bytes, **more: Any) -> None:
    raw = bench.term.raw_redis
    mapping: dict[Any, Any] = {"data": data, "signature": signature, "status": "queued", **more}
    raw.hset(f"rq:job:{job_id}", mapping=mapping)
    raw.rpush("rq:queue:default", job_id)


def refusals(bench: TaskBench) -> list[str]:
    return [it["reason"] for _, it in bench.redis.xrange(keys.JOBS_REFUSED)]


def wait_refused(bench: TaskBench, count: int = 1) -> list[str]:
    node = next(iter(bench.nodes.values()))
    bench.loop.call_soon_threadsafe(node.executor.wake)
    end = time.monotonic() + 10
    while len(refusals(bench)) < count:
        assert time.monotonic() < end, refusals(bench)
        time.sleep(0.01)
    return refusals(bench)


def test_all_that_is_not_signed_is_refused_and_costs_the_others_nothing(bench: TaskBench) -> None:
    bench.add_node("w1")
    for number, (data, signature, more) in enumerate(HOSTILE.values(), 1):
        push(bench, f"task-{number}00-1", data, signature, **more)
    good = sealed()
    push(bench, "task-900-1", good.data, good.signature, success_callback_name="os.system")
    push(bench, "../../x", good.data, good.signature)
    bench.term.raw_redis.set("rq:job:task-77-1", "no hash")
    bench.term.raw_redis.rpush("rq:queue:default", "task-77-1", b"\xff" * 20, "x" * 5000)
    [number] = bench.probe()
    bench.until_state(number, "succeeded")
    reasons = wait_refused(bench, len(HOSTILE) + 4)
    assert set(reasons) <= {"signature", "fields", "job_id"}
    assert int(bench.redis.get(keys.JOBS_REFUSED_COUNT) or 0) == len(reasons)
    bench.until(lambda: len(audit.listing(action="job.refused").rows) == len(set(reasons)))
    entries = audit.listing(action="job.refused").rows
    assert {it["target"] for it in entries} == {"node/w1"}
    assert sum(it["details"]["count"] for it in entries) == len(reasons)
    assert NEVER_IMPORTED not in sys.modules


FIELDS = (
    *("success_callback_name", "failure_callback_name", "stopped_callback_name", "webhooks"),
    *("dependency_id", "dependency_ids", "meta", "result", "exc_info", "group_id", "unheard_of"),
    *("retries_left", "retry_intervals", "repeats_left", "repeat_intervals", "rate_limit_key"),
)


def test_a_signed_job_with_a_field_that_no_signature_covers_is_refused(bench: TaskBench) -> None:
    node = bench.add_node("w1")
    job = sealed()
    for number, field in enumerate(FIELDS):
        names = {field: f"{NEVER_IMPORTED}.run"}
        push(bench, f"task-8{number}-1", job.data, job.signature, **names)
    push(bench, "task-900-2", job.data, job.signature)  # under another id
    push(bench, "task-900-1", job.data, job.signature)
    reasons = wait_refused(bench, len(FIELDS) + 1)
    assert sorted(reasons) == ["fields"] * len(FIELDS) + ["job_id"]
    bench.until(lambda: node.executor._done == 1)
    assert NEVER_IMPORTED not in sys.modules


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"purpose": "order"}, "purpose"),
        ({"audience": "another incarnation"}, "audience"),
        ({"job_id": "task-901-1"}, "job_id"),
        ({"expires": 1.0}, "expired"),
        ({"kind": "os.system"}, "unknown_kind"),
        ({"kind": "jobs.sessions.stop"}, "unknown_kind"),
        ({"arguments": {"session": 0}}, "arguments"),
        ({"arguments": {**GOOD.arguments, "session": -1}}, "arguments"),
        ({"arguments": {**GOOD.arguments, "cursor": "[1]"}}, "arguments"),
        ({"arguments": {**GOOD.arguments, "cursor": "[" * 9000}}, "arguments"),
        ({"arguments": {**GOOD.arguments, "timeout": 10**9}}, "arguments"),
    ],
)
def test_a_signed_job_that_is_not_for_here_is_refused(
    bench: TaskBench, changes: dict[str, Any], reason: str
) -> None:
    bench.add_node("w1")
    job = sealed(**changes)
    push(bench, "task-900-1", job.data, job.signature)
    assert wait_refused(bench) == [reason]


def test_a_job_is_taken_once_however_often_it_is_pushed(bench: TaskBench) -> None:
    node = bench.add_node("w1")
    job = sealed()
    for _ in range(3):
        push(bench, "task-900-1", job.data, job.signature)
    assert wait_refused(bench, 2) == ["replayed", "replayed"]
    assert node.executor._done == 1


def test_a_job_for_any_node_that_is_replayed_on_another_one_changes_nothing(
    bench: TaskBench,
) -> None:
    [number] = bench.probe()
    bench.until_state(number, "published")
    raw = bench.term.raw_redis
    job_id = f"task-{number}-1"
    data, signature = raw.hmget(f"rq:job:{job_id}", "data", "signature")
    bench.add_node("w1")
    bench.until_state(number, "succeeded")
    before = tasks.get(number)
    bench.kill_node("w1")
    second = bench.add_node("w2")
    push(bench, job_id, data or b"", signature or b"")
    bench.until(lambda: second.executor._done == 1)
    for _ in range(10):
        bench.tick()
    assert tasks.get(number) == before


def test_a_kind_for_any_node_changes_nothing() -> None:
    with pytest.raises(ValueError, match="may change nothing"):
        replace(KINDS["task.probe"], idempotence=Idempotence.STATE)


def test_an_altered_job_is_refused(bench: TaskBench) -> None:
    bench.add_node("w1")
    job = sealed()
    other = seal_envelope(SigningKeys([b"x" * 32]), GOOD)
    altered = bytearray(job.data)
    altered[-1] ^= 1
    push(bench, "task-900-1", bytes(altered), job.signature)
    push(bench, "task-900-1", other.data, other.signature)
    assert set(wait_refused(bench, 2)) == {"signature"}


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(job_id=st.text(max_size=30), data=st.binary(max_size=300), signature=st.binary(max_size=99))
def test_no_bytes_of_a_job_do_more_than_be_refused(
    quiet_executor: TaskExecutor, job_id: str, data: bytes, signature: bytes
) -> None:
    executor = quiet_executor
    fetched = FetchedJob("default", 2, job_id, SealedJob(data, signature))
    with pytest.raises(RefusedJobError):
        executor._begin(fetched)
    assert executor.running == 0


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    fields=st.dictionaries(
        st.one_of(
            st.sampled_from(["data", "signature", "status", "origin", "timeout", "created_at"]),
            st.binary(min_size=1, max_size=20),
        ),
        st.one_of(st.binary(max_size=200), st.just(CALL)),
        min_size=1,
        max_size=8,
    ),
    entry=st.one_of(st.just(b"task-7-1"), st.binary(max_size=40)),
    is_signed=st.booleans(),
)
def test_whatever_bytes_a_hash_has_the_next_task_runs(
    idle_bench: TaskBench, fields: dict[Any, bytes], entry: bytes, is_signed: bool
) -> None:
    bench, raw = idle_bench, idle_bench.term.raw_redis
    executor = bench.nodes["w1"].executor
    if is_signed:
        data = fields.get("data", b"")
        fields = {**fields, "data": data, "signature": SIGNING_KEYS.sign(b"afx job", data)}
    raw.delete(b"rq:job:" + entry)
    raw.hset(b"rq:job:" + entry, mapping=fields)
    raw.rpush("rq:queue:default", entry)
    number = next(NUMBERS)
    good = sealed(nonce=str(number), job_id=f"task-{number}-1")
    push(bench, f"task-{number}-1", good.data, good.signature)
    done = executor._done

    async def take() -> None:
        jobs = await executor._records.fetch(50, [50, 50, 50, 50])
        await executor._begin_all(jobs)
        await asyncio.gather(*(it.task for it in executor._running.values()))

    bench.on_loop(take())
    assert executor._done == done + 1


@pytest.fixture
def idle_bench(bench: TaskBench) -> TaskBench:
    """A bench whose node takes nothing by itself."""
    bench.add_node("w1", may_take=lambda: False)
    return bench


@pytest.fixture
def quiet_executor(bench: TaskBench) -> TaskExecutor:
    return bench.add_node("w1").executor
