"""The life of a task, from its row to its result, through a real leader and executor."""

from __future__ import annotations

import json

from support.task_bench import TaskBench

from afx.cluster.task_jobs import node_queue
from models.storage import tasks
from models.storage.tasks import NewTask


def test_a_task_runs_and_its_result_is_in_sql(bench: TaskBench) -> None:
    bench.add_node("w1")
    [number] = bench.probe()
    bench.until_state(number, "succeeded")
    task = tasks.get(number)
    assert task["result"] == {"waited": 0.0}
    assert (task["worker"], task["attempts"], task["progress"]) == ("w1", 1, 1.0)
    assert task["created_at"] <= task["published_at"] <= task["finished_at"]


def test_hundreds_of_tasks_each_run_once(bench: TaskBench) -> None:
    bench.add_node("w1")
    bench.add_node("w2")
    numbers = bench.probe(300)
    bench.until(lambda: bench.states(numbers) == {"succeeded"})
    rows = [tasks.get(it) for it in numbers]
    assert {it["attempts"] for it in rows} == {1}
    assert {it["worker"] for it in rows} == {"w1", "w2"}


def test_a_task_that_fails_for_good_keeps_its_error(bench: TaskBench) -> None:
    bench.add_node("w1")
    [number] = bench.probe(arguments='{"fails":true}')
    bench.until_state(number, "failed")
    assert "asked to fail" in tasks.get(number)["error"]
    tasks.retry(number)
    assert bench.state(number) == "queued"


def test_a_task_longer_than_its_time_out_is_tried_again_after_a_pause(bench: TaskBench) -> None:
    bench.add_node("w1")
    [number] = bench.probe(arguments='{"seconds":60}', timeout_seconds=1)
    bench.until_state(number, "waiting")
    task = tasks.get(number)
    assert "time-out" in task["error"]
    assert (
        (task["run_after"] - task["finished_at"]).total_seconds() >= 0.9
        if task["finished_at"]
        else task["attempts"] == 1
    )


def test_a_running_task_is_cancelled(bench: TaskBench) -> None:
    node = bench.add_node("w1")
    [number] = bench.probe(arguments='{"seconds":60}')
    bench.until_state(number, "running")
    assert tasks.cancel(number, "why") == "cancelling"
    bench.until(lambda: bool(bench.term.orders.cancelled))
    bench.loop.call_soon_threadsafe(node.executor.cancel, [(number, 1)])
    bench.until_state(number, "cancelled")


def test_a_task_of_a_killed_node_runs_on_another(bench: TaskBench) -> None:
    bench.add_node("w1")
    numbers = bench.probe(5, arguments='{"seconds":0.3}')
    bench.until(lambda: bench.states(numbers) == {"running"})
    bench.kill_node("w1")
    bench.add_node("w2")
    bench.until(lambda: bench.states(numbers) == {"succeeded"}, 40, tick=0.2)
    assert {tasks.get(it)["worker"] for it in numbers} == {"w2"}
    assert {tasks.get(it)["attempts"] for it in numbers} == {2}


def test_what_redis_has_lost_is_published_again(bench: TaskBench) -> None:
    numbers = bench.probe(5)
    bench.until(lambda: bench.states(numbers) == {"published"})
    bench.redis.delete(*bench.redis.keys("rq:*"))
    bench.add_node("w1")
    bench.until(lambda: bench.states(numbers) == {"succeeded"})
    assert {tasks.get(it)["publication"] for it in numbers} == {2}


def test_a_node_that_is_stopped_gives_its_tasks_back(bench: TaskBench) -> None:
    node = bench.add_node("w1")
    [number] = bench.probe(arguments='{"seconds":0.5}')
    bench.until_state(number, "running")
    node.leave()
    bench.until(lambda: bench.state(number) in ("queued", "published"))
    assert tasks.get(number)["attempts"] == 0
    assert not bench.redis.keys("rq:worker:*")


def test_a_task_of_an_unknown_session_waits(bench: TaskBench) -> None:
    from support.term_harness import add

    bench.add_node("w1")
    [session] = add("alice", 1)
    [number] = bench.submit(NewTask("session.check", session))
    bench.until_state(number, "waiting")


def test_rq_sees_queues_workers_and_jobs(bench: TaskBench) -> None:
    from rq import Queue, Worker
    from rq.job import Job

    numbers = bench.probe(3, arguments='{"seconds":30}')
    bench.until(lambda: bench.states(numbers) == {"published"})
    raw = bench.term.raw_redis
    assert Queue("default", connection=raw).count == 3
    bench.add_node("w1")
    bench.until(lambda: bench.states(numbers) == {"running"})
    assert Queue("default", connection=raw).count == 0
    [worker] = Worker.all(connection=raw)
    assert worker.name == "w1-w1-1-tasks"
    assert worker.get_current_executions()[0].job_id.startswith("task-")
    assert len(worker.get_current_executions()) == 3
    assert Queue("default", connection=raw).started_job_registry.count == 3
    job = Job.fetch("task-1-1", connection=raw, serializer=json)
    assert job.get_status() == "started" and job.description == "task 1: task.probe"
    assert node_queue("w1", "w1-1", 2) in worker.queue_names()
