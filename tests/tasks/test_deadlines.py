"""Deadlines for the start of tasks, and clocks that are not right."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from support.task_bench import TaskBench
from support.task_sessions import SessionBench
from support.term_harness import add

from afx.cluster import report_stream
from afx.cluster.reports import TaskEnded
from afx.reasons import TaskOutcome
from models.base import utc_now
from models.storage import tasks
from models.storage.tasks import NewTask
from models.tables import WorkerTask


def let_its_deadline_pass(number: int) -> None:
    WorkerTask.update(start_by=utc_now()).where(WorkerTask.id == number).execute()


def test_a_task_that_waits_for_its_session_is_cancelled_at_its_deadline(bench: TaskBench) -> None:
    [session] = add("alice", 1)
    [number] = bench.submit(NewTask("session.check", session))
    bench.until_state(number, "waiting")
    let_its_deadline_pass(number)
    bench.until(lambda: bench.state(number) == "cancelled", tick=0.3)
    assert "deadline" in tasks.get(number)["error"]


def test_a_task_that_waits_in_redis_is_cancelled_at_its_deadline(bench: TaskBench) -> None:
    [number] = bench.probe()
    bench.until_state(number, "published")
    let_its_deadline_pass(number)
    bench.until(lambda: bench.state(number) == "cancelled", tick=0.3)
    assert not bench.redis.lrange("rq:queue:default", 0, -1)


def test_a_task_that_has_started_has_no_deadline_any_more(bench: TaskBench) -> None:
    it = SessionBench(bench)
    node = it.add_node("w1")
    it.until_it_runs()
    go_on = it.hold(it.telegram.before)
    [number] = it.send("text", start_by=utc_now() + timedelta(seconds=2))
    bench.until_state(number, "running")
    time.sleep(max(0.0, (tasks.get(number)["start_by"] - utc_now()).total_seconds() + 0.1))
    bench.loop.call_soon_threadsafe(node.executor.release_session, it.session)  # as a move does
    go_on()
    bench.until_state(number, "succeeded")
    assert tasks.get(number)["publication"] == 2


@pytest.mark.parametrize("ahead", [250.0, -250.0])
def test_a_clock_that_is_minutes_off_gives_no_task_out_twice(
    bench: TaskBench, ahead: float
) -> None:
    bench.add_node("w1", wall_clock=lambda: time.time() + ahead)
    [number] = bench.probe(arguments='{"seconds":1.5}', timeout_seconds=10)
    bench.until(lambda: bench.state(number) == "succeeded", tick=0.5)
    task = tasks.get(number)
    assert (task["publication"], task["attempts"]) == (1, 1)
    assert task["published_at"] <= task["started_at"] <= task["finished_at"]


def test_what_has_been_reported_and_not_been_read_yet_is_not_taken_for_lost(
    bench: TaskBench,
) -> None:
    bench.add_node("w1", may_take=lambda: False)
    [number] = bench.probe(timeout_seconds=1)
    bench.until_state(number, "published")
    long_ago = utc_now() - timedelta(seconds=200)
    changes = {"state": "running", "worker": "w1", "incarnation": "w1-1", "started_at": long_ago}
    WorkerTask.update(changes).where(WorkerTask.id == number).execute()
    ended = TaskEnded(
        node="w1",
        incarnation="w1-1",
        task_id=number,
        publication=1,
        outcome=TaskOutcome.SUCCEEDED,
        started_at=int(long_ago.timestamp() * 1000),
        ended_at=int(long_ago.timestamp() * 1000),
        result="{}",
    )
    for _ in range(1_100):  # more than two reads take
        report_stream.publish(bench.redis, [])
    report_stream.publish(bench.redis, [ended])
    bench.until(lambda: bench.state(number) != "running", tick=1.0)
    assert (bench.state(number), tasks.get(number)["publication"]) == ("succeeded", 1)
