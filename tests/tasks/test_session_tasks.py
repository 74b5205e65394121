"""Tasks of sessions: how many run at once, what Telegram's waits and deaths of nodes do to them."""

from __future__ import annotations

import time
from collections import Counter
from datetime import timedelta

import pytest
from support.task_bench import TaskBench
from support.task_sessions import SessionBench

from afx.coordinator import task_reconciler
from models.storage import task_logs, tasks


@pytest.fixture
def it(bench: TaskBench) -> SessionBench:
    return SessionBench(bench)


def test_a_session_is_given_no_more_tasks_than_run_at_once(
    it: SessionBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that a node had, and did not start, were given out again every half minute."""
    monkeypatch.setattr(task_reconciler, "_START_WITHIN", timedelta(seconds=0.5))
    it.add_node("w1")
    it.until_it_runs()
    go_on = it.hold(it.telegram.before)
    numbers = it.send(*(f"text {n}" for n in range(12)))
    it.bench.until(lambda: it.telegram.requests == 4)
    for _ in range(30):
        it.bench.tick(0.3)
        time.sleep(0.05)
    assert it.telegram.requests == 4
    assert Counter(it.bench.state(one) for one in numbers) == {"running": 4, "waiting": 8}
    go_on()
    it.bench.until(lambda: it.bench.states(numbers) == {"succeeded"})
    assert it.telegram.requests == 12
    assert {tasks.get(one)["publication"] for one in numbers} == {1}


def test_a_wait_snoozes_the_tasks_of_its_chat_only_and_frees_their_slots(it: SessionBench) -> None:
    node = it.add_node("w1")
    it.until_it_runs()
    it.telegram.waits[7] = time.time() + 600
    held = it.send(*(f"held {n}" for n in range(6)), chat=7, max_attempts=1)
    sent = it.send(*(f"sent {n}" for n in range(6)), chat=8, max_attempts=1)
    it.bench.until(lambda: it.bench.states(sent) == {"succeeded"})
    it.bench.until(lambda: it.bench.states(held) == {"waiting"})
    it.bench.until(lambda: all(tasks.get(one)["error"] for one in held))
    rows = [tasks.get(one) for one in held]
    assert {row["attempts"] for row in rows} == {0}
    assert all((row["run_after"] - row["created_at"]).total_seconds() > 500 for row in rows)
    assert node.executor.running == 0
    assert set(it.telegram.ledger) == {(8, f"sent {n}") for n in range(6)}
    # Those that ran at once have met the wait; the others made no request.
    assert it.telegram.requests <= 6 + 4


def test_waits_use_up_no_attempt(it: SessionBench) -> None:
    """dramatiq#257: hits of a rate limiter ate the retries."""
    it.add_node("w1")
    it.until_it_runs()
    it.telegram.waits[1] = time.time() + 2.5
    numbers = it.send("a", "b", max_attempts=1)
    it.bench.until(lambda: it.bench.states(numbers) == {"succeeded"})
    assert it.telegram.ledger == {(1, "a"): 1, (1, "b"): 1}
    assert {tasks.get(one)["attempts"] for one in numbers} == {1}
    assert "Telegram asks to wait" in task_logs.lines(numbers)[2].text


def test_a_dead_node_keeps_no_place_of_its_sessions(it: SessionBench) -> None:
    """solid_queue#546: a dead worker kept its slots of a limit of concurrency."""
    it.add_node("w1")
    it.until_it_runs()
    go_on = it.hold(it.telegram.before)
    numbers = it.send(*(f"text {n}" for n in range(9)))
    it.bench.until(lambda: it.telegram.requests == 4)
    it.bench.kill_node("w1")
    go_on()
    it.add_node("w2")
    it.bench.until(lambda: it.bench.states(numbers) == {"succeeded"}, 40, tick=0.2)
    assert set(it.telegram.ledger.values()) == {1} and len(it.telegram.ledger) == 9
    assert {tasks.get(one)["worker"] for one in numbers} == {"w2"}


@pytest.mark.parametrize("step", ["queued", "fetched", "started", "sent", "reported"])
def test_a_node_that_is_killed_at_a_step_costs_nothing_and_doubles_nothing(
    it: SessionBench, step: str
) -> None:
    node = it.add_node("w1", may_take=lambda: step != "fetched")
    it.until_it_runs()
    go_on = it.hold(it.telegram.after if step == "sent" else it.telegram.before)
    if step == "reported":
        go_on()
    numbers = it.send("one", "two", "three")
    if step == "fetched":
        it.bench.until(lambda: it.bench.states(numbers) == {"published"})
        assert len(it.bench.on_loop(node.executor._records.fetch(9, [9, 9, 9, 9]))) == 3
    elif step in ("started", "sent"):
        it.bench.until(lambda: it.telegram.requests == 3)
    elif step == "reported":
        it.bench.until(lambda: it.bench.states(numbers) != {"queued"})
        node.wake()
        end = time.monotonic() + 10
        while node.executor.running or node.executor._done != 3 or node.reports.waiting:
            assert time.monotonic() < end
            time.sleep(0.01)
    assert len(it.telegram.ledger) == (3 if step in ("sent", "reported") else 0)
    it.bench.kill_node("w1")
    go_on()
    it.add_node("w2")
    it.bench.until(lambda: it.bench.states(numbers) == {"succeeded"}, 40, tick=0.2)
    assert it.telegram.ledger == {(1, "one"): 1, (1, "two"): 1, (1, "three"): 1}
    rows = [tasks.get(one) for one in numbers]
    assert all(row["finished_at"] and row["progress"] == 1.0 for row in rows)
    where = {"w1"} if step == "reported" else {"w2"}
    assert {row["worker"] for row in rows} == where
    for _ in range(5):
        it.bench.tick(1.0)
    assert [tasks.get(one) for one in numbers] == rows  # a final state stays


def test_a_cancel_never_hits_the_next_run_of_its_task(it: SessionBench) -> None:
    """arq#485: an abort hit the next job of the same id."""
    node = it.add_node("w1")
    it.until_it_runs()
    go_on = it.hold(it.telegram.before)
    [number] = it.send("text")
    it.bench.until_state(number, "running")
    tasks.cancel(number, "why")
    it.bench.until(lambda: (number, 1) in it.bench.term.orders.cancelled)
    it.bench.loop.call_soon_threadsafe(node.executor.cancel, [(number, 1)])
    it.bench.until_state(number, "cancelled")
    tasks.retry(number)
    it.bench.until_state(number, "running")
    it.bench.loop.call_soon_threadsafe(node.executor.cancel, [(number, 1)])
    for _ in range(10):
        it.bench.tick()
    assert it.bench.state(number) == "running"
    go_on()
    it.bench.until_state(number, "succeeded")
    assert it.telegram.ledger == {(1, "text"): 1}


def test_a_loop_that_stalls_leads_to_no_second_run(it: SessionBench) -> None:
    """bullmq#439: a worker whose loop stalled lost its job to another one."""
    it.add_node("w1")
    it.until_it_runs()
    go_on = it.hold(it.telegram.before)
    numbers = it.send("one", "two")
    it.bench.until(lambda: it.bench.states(numbers) == {"running"})
    it.add_node("w2")
    it.bench.loop.call_soon_threadsafe(time.sleep, 2.0)
    for _ in range(20):
        it.bench.term.tick(1.0)  # the supervisor's heartbeats go on; the node says nothing
    assert it.bench.states(numbers) == {"running"}
    go_on()
    it.bench.until(lambda: it.bench.states(numbers) == {"succeeded"})
    rows = [tasks.get(one) for one in numbers]
    assert {(row["publication"], row["attempts"], row["worker"]) for row in rows} == {(1, 1, "w1")}
    assert it.telegram.requests == 2


def test_what_a_task_logs_is_kept_in_order_and_within_bounds(it: SessionBench) -> None:
    it.add_node("w1")
    it.until_it_runs()
    [number] = it.send("text")
    it.bench.until_state(number, "succeeded")
    [line] = task_logs.lines([number])
    assert (line.task, line.text) == (number, "sends text")
    many = [(number, 1, line.at, f"line {n}") for n in range(600)]
    task_logs.append([(number, 2, line.at, "of no publication"), (999, 1, line.at, "x"), *many])
    found = task_logs.lines([number])
    assert len(found) == task_logs.MOST_LINES
    assert [one.text for one in found[1:3]] == ["line 0", "line 1"]
    assert task_logs.lines([number], beyond=found[-1].id) == task_logs.lines([]) == []
