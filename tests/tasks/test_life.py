"""The life of a task, from its row to its result, through a real leader and executor."""

from __future__ import annotations

import contextlib
import itertools
import json
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
from support.specs import SIGNING_KEYS
from support.task_bench import TaskBench

from afx.cluster import keys, queues
from afx.cluster.job_envelope import SealedJob, open_envelope
from afx.cluster.taken_jobs import TakenJobs
from afx.cluster.task_jobs import job_id, node_queue
from afx.coordinator import task_reconciler
from afx.coordinator.task_publisher import TaskPublisher
from models.base import utc_now
from models.storage import sessions, task_logs, tasks
from models.storage.tasks import NewTask
from models.tables import WorkerTask
from models.transitions import TransitionError


def test_a_task_runs_and_its_result_is_in_sql(bench: TaskBench) -> None:
    bench.add_node("w1")
    [number] = bench.probe()
    bench.until_state(number, "succeeded")
    task = tasks.get(number)
    assert task["result"] == {"waited": 0.0}
    assert (task["worker"], task["attempts"], task["progress"]) == ("w1", 1, 1.0)
    assert task["created_at"] <= task["published_at"] <= task["finished_at"]
    assert task["created_at"] == task["run_after"]  # it waited from then on


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
    assert tasks.get(number)["error"] == "why"


def test_a_running_task_is_paused_and_runs_again_when_it_is_resumed(bench: TaskBench) -> None:
    node = bench.add_node("w1")
    [number] = bench.probe(arguments='{"seconds":60}')
    bench.until_state(number, "running")
    assert tasks.pause(number, "why") == "pausing"
    bench.until(lambda: bool(bench.term.orders.cancelled))
    bench.loop.call_soon_threadsafe(node.executor.cancel, [(number, 1)])
    bench.until_state(number, "paused")
    assert (tasks.get(number)["error"], tasks.get(number)["attempts"]) == ("why", 0)
    tasks.resume(number)
    bench.until_state(number, "running")
    assert tasks.get(number)["publication"] == 2


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


def test_what_redis_has_lost_is_published_again_within_a_second(bench: TaskBench) -> None:
    numbers = bench.probe(5)
    bench.until(lambda: bench.states(numbers) == {"published"})
    WorkerTask.update(published_at=utc_now() - timedelta(seconds=5)).execute()
    bench.redis.delete(*bench.redis.keys("rq:*"))
    for _ in range(10):
        bench.tick(0.1)
    assert {tasks.get(it)["publication"] for it in numbers} == {2}
    assert bench.redis.llen("rq:queue:default") == 5


def test_a_job_whose_queue_redis_has_lost_is_published_again(bench: TaskBench) -> None:
    numbers = bench.probe(5)
    bench.until(lambda: bench.states(numbers) == {"published"})
    WorkerTask.update(published_at=utc_now() - timedelta(seconds=15)).execute()
    bench.redis.delete("rq:queue:default")
    for _ in range(10):
        bench.tick(0.1)
    assert {tasks.get(it)["publication"] for it in numbers} == {2}
    assert bench.redis.llen("rq:queue:default") == 5


def test_a_job_that_a_node_may_have_taken_and_forgotten_is_signed_again(bench: TaskBench) -> None:
    [number] = bench.probe()
    bench.until(lambda: bench.state(number) == "published")
    raw = bench.term.raw_redis.hgetall(f"rq:job:{job_id(number, 1)}")
    issued = open_envelope(SIGNING_KEYS, SealedJob(raw[b"data"], raw[b"signature"])).issued
    may_take: list[bool] = []
    node = bench.add_node("w1", may_take=lambda: bool(may_take))
    node.executor._gate._taken = taken = TakenJobs(1)
    for name, second in (("one", issued), ("two", issued + 1)):
        taken.claim(name, issued=second, expires=issued + 600, now=issued)
    may_take.append(True)
    bench.until_state(number, "succeeded")
    assert tasks.get(number)["publication"] >= 2


def test_a_low_task_runs_while_the_high_ones_keep_the_node_full(bench: TaskBench) -> None:
    bench.add_node("w1", slots=4)
    bench.probe(400, arguments='{"seconds":0.1}', priority=1)
    bench.until(lambda: tasks.counts().get((1, "running"), 0) >= 2)
    [low] = bench.probe(priority=3)
    bench.until_state(low, "succeeded")
    assert tasks.counts().get((1, "queued"), 0) + tasks.counts().get((1, "published"), 0) > 100


def test_a_node_that_is_stopped_gives_its_tasks_back(bench: TaskBench) -> None:
    node = bench.add_node("w1")
    [number] = bench.probe(arguments='{"seconds":0.5}')
    bench.until_state(number, "running")
    node.leave()
    bench.until(lambda: bench.state(number) in ("queued", "published"))
    assert tasks.get(number)["attempts"] == 0
    assert not bench.redis.keys("rq:worker:*")


def test_a_node_that_is_stopped_also_gives_back_what_it_has_fetched_and_not_begun(
    bench: TaskBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("afx.tasks.turns.MOST_SECONDS", 3600.0)
    messages = itertools.count()
    stops: list[bool] = []
    node = bench.add_node("w1", arrivals=lambda: 0 if stops else next(messages))
    numbers = bench.probe(5, arguments='{"seconds":30}')
    bench.until(lambda: node.executor._beginning)
    assert node.executor.running == 0  # a message arrives in each turn of the loop
    stops.append(True)
    node.leave()
    bench.until(lambda: {tasks.get(it)["publication"] for it in numbers} == {2})
    assert {tasks.get(it)["attempts"] for it in numbers} == {0}
    assert not [it.text for it in task_logs.lines(numbers) if "died" in it.text]


def test_a_node_that_is_killed_between_fetch_and_report_loses_nothing(bench: TaskBench) -> None:
    node = bench.add_node("w1", may_take=lambda: False)
    numbers = bench.probe(5)
    bench.until(lambda: bench.states(numbers) == {"published"})
    taken = bench.on_loop(node.executor._records.fetch(9, [9, 9, 9, 9]))
    assert len(taken) == 5
    bench.kill_node("w1")
    bench.add_node("w2")
    bench.until(lambda: bench.states(numbers) == {"succeeded"}, 40, tick=0.2)
    assert {tasks.get(it)["publication"] for it in numbers} == {2}


def test_an_answer_that_is_lost_on_its_way_to_a_living_node_loses_nothing(
    bench: TaskBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_reconciler, "_START_WITHIN", timedelta(seconds=1.5))
    node = bench.add_node("w1", may_take=lambda: False)
    [number] = bench.probe()
    bench.until_state(number, "published")
    bench.on_loop(node.executor._records.fetch(9, [9, 9, 9, 9]))
    node.executor._may_take = lambda: True
    bench.until_state(number, "succeeded")
    assert (tasks.get(number)["publication"], tasks.get(number)["attempts"]) == (2, 1)


def test_what_a_node_reports_while_nobody_leads_is_not_lost(bench: TaskBench) -> None:
    node = bench.add_node("w1")
    numbers = bench.probe(20)
    bench.until(lambda: bench.states(numbers) != {"queued"})
    bench.term.term.close()
    bench.loop.call_soon_threadsafe(node.executor.wake)
    bench.term.change_leader()
    bench.until(lambda: bench.states(numbers) == {"succeeded"})
    assert {tasks.get(it)["attempts"] for it in numbers} == {1}


def test_a_leader_that_died_between_sql_and_redis_leaves_no_task_behind(
    bench: TaskBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.add_node("w1")
    numbers = bench.probe(5)
    with monkeypatch.context() as broken:
        broken.setattr(TaskPublisher, "_send", lambda *_: None)
        bench.tick()
    assert bench.states(numbers) == {"published"}
    bench.term.change_leader()
    bench.until(lambda: bench.states(numbers) == {"succeeded"})


def test_a_task_is_cancelled_once_wherever_it_is(bench: TaskBench) -> None:
    """Cancels at all moments: each task has one final state, and no slot is kept."""
    node = bench.add_node("w1")
    numbers = bench.probe(60, arguments='{"seconds":0.05}')
    left = list(numbers)

    def step() -> bool:
        if left:
            with contextlib.suppress(TransitionError):
                tasks.cancel(left.pop(), "why")
        for task, publication in bench.term.orders.cancelled:
            bench.loop.call_soon_threadsafe(node.executor.cancel, [(task, publication)])
        return bench.states(numbers) <= {"succeeded", "cancelled"}

    bench.until(step)
    assert node.executor.running == 0 and node.executor._counts == [0, 0, 0, 0]


@pytest.mark.parametrize("ahead", [3600.0, -3600.0])
def test_a_node_with_a_wrong_clock_keeps_no_task_from_the_others(
    bench: TaskBench, ahead: float
) -> None:
    """It would take them all, and refuse them as expired, or seem to have run for an hour."""
    bench.add_node("w1", wall_clock=lambda: time.time() + ahead)
    numbers = bench.probe(20)
    bench.until(lambda: bench.states(numbers) != {"queued"})
    bench.add_node("w2")
    bench.until(lambda: bench.states(numbers) == {"succeeded"}, 40, tick=0.2)
    rows = [tasks.get(it) for it in numbers]
    assert {it["attempts"] for it in rows} == {1}
    assert {it["worker"] for it in rows} == {"w2"}


def test_a_node_that_comes_after_its_tasks_is_woken(bench: TaskBench) -> None:
    numbers = bench.probe(3)
    bench.until(lambda: bench.states(numbers) == {"published"})
    incarnation = bench.term.add_node("w1").incarnation
    control = f"rq:queue:{queues.node('w1', incarnation)}"
    bench.until(lambda: bench.redis.lrange(control, 0, -1) == ["!wake"])


@pytest.mark.parametrize("value", ["x", "nan", "", "[]"])
def test_a_clock_that_somebody_has_written_to_redis_stops_no_task(
    bench: TaskBench, value: str
) -> None:
    numbers = bench.probe(3)
    bench.until(lambda: bench.states(numbers) == {"published"})
    if value == "[]":
        bench.redis.delete(keys.TASK_CLOCK)
        bench.redis.rpush(keys.TASK_CLOCK, "a list")
    else:
        bench.redis.set(keys.TASK_CLOCK, value)
    bench.add_node("w1")
    bench.until(lambda: bench.states(numbers) == {"succeeded"})


def test_a_user_does_not_wait_for_another_ones_thousands(bench: TaskBench) -> None:
    bench.add_node("w1", slots=4)
    bench.probe(3000, user=1)
    bench.tick()
    [number] = bench.probe(user=2)
    bench.until_state(number, "succeeded")
    finished = [
        it for it in tasks.listing(state="succeeded", limit=9999).rows if it["id"] != number
    ]
    assert len(finished) < 1500


def test_a_user_with_a_larger_share_gets_more_of_a_queue(bench: TaskBench) -> None:
    from models.storage import users

    for name, share in (("alice", 1), ("bob", 3)):
        users.create(name)
        users.set_task_share(users.find(name), share=share, limit=None)
    for it in ("alice", "bob"):
        bench.probe(600, user=users.find(it).id)
    bench.until(lambda: bool(tasks.counts().get((2, "published"))))
    published = [it["id"] for it in tasks.listing(state="published", limit=9999).rows]
    assert len([it for it in published if it <= 600]) == len(published) / 4


def test_a_premium_task_overtakes_long_low_ones_that_fill_the_node(bench: TaskBench) -> None:
    bench.add_node("w1", slots=10)
    low = bench.probe(50, arguments='{"seconds":30}', priority=3)
    bench.until(lambda: tasks.counts().get((3, "running"), 0) >= 6)
    [premium] = bench.probe(priority=0)
    bench.until_state(premium, "succeeded")
    assert tasks.counts()[3, "running"] == 6
    assert bench.state(low[-1]) != "running"


def test_rq_info_shows_the_queues_and_the_workers(bench: TaskBench) -> None:
    numbers = bench.probe(3, arguments='{"seconds":30}')
    bench.until(lambda: bench.states(numbers) == {"published"})
    bench.add_node("w1", may_take=lambda: False)
    time.sleep(0.2)
    command = [str(Path(sys.executable).with_name("rq")), "info", "--raw", "-u", bench.redis_url]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "queue default 3" in shown
    [worker] = [it for it in shown.splitlines() if it.startswith("worker w1-w1-1-tasks")]
    assert " idle " in worker and " default," in worker


def test_no_key_of_rq_outlives_an_incarnation_for_long(bench: TaskBench) -> None:
    bench.add_node("w1")
    numbers = bench.probe(10)
    bench.until(lambda: bench.states(numbers) == {"succeeded"})
    bench.kill_node("w1")
    kept = {"rq:queues", "rq:workers"}
    for key in bench.redis.keys("rq:*"):
        lasts = bench.redis.ttl(key)
        of_control_queue = key.startswith("rq:queue:node-")  # the leader removes it
        assert 0 < lasts <= 3600 or key in kept or of_control_queue, key


def test_a_task_of_an_unknown_session_waits(bench: TaskBench) -> None:
    from support.term_harness import add

    bench.add_node("w1")
    [session] = add("alice", 1)
    [number] = bench.submit(NewTask("session.check", session))
    bench.until_state(number, "waiting")


def test_a_task_of_a_removed_session_fails(bench: TaskBench) -> None:
    from support.term_harness import add

    [session] = add("alice", 1)
    [number] = bench.submit(NewTask("session.check", session))
    bench.until_state(number, "waiting")
    assert sessions.remove_unused(sessions.find(str(session)))
    bench.until(lambda: bench.state(number) == "failed", tick=1.0)
    assert "removed" in tasks.get(number)["error"]


def test_tasks_of_sessions_that_do_not_run_are_left_alone(bench: TaskBench) -> None:
    """They were all queued, and put back, once a minute."""
    from support.term_harness import add

    bench.add_node("w1")
    [session] = add("alice", 1)
    bench.term.obeying = False  # it is placed, and does not come to run
    numbers = bench.submit(*[NewTask("session.check", session)] * 300)
    bench.until(lambda: bench.states(numbers) == {"waiting"})
    bench.tick(100.0)
    assert bench.states(numbers) == {"waiting"}


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
