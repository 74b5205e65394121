"""Schedules: when they are due, what their policies do, and that no time is missed or doubled."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.task_bench import TaskBench
from support.term_harness import add

from afx.app import context_for
from afx.config import load
from afx.coordinator.decisions.schedule_times import decide, is_cron, next_time
from afx.errors import UsageError
from afx.operations import schedules as acts
from afx.operations import users
from afx.operations.task_requests import TaskRequest
from models.base import utc_now
from models.storage import schedules, tasks
from models.task_tables import TaskSchedule

AT = datetime(2026, 1, 5, 3, 0, tzinfo=UTC)
PROBE = TaskRequest(kind="task.probe")


def turn(**changes: Any) -> Any:
    values: dict[str, Any] = {
        "at": AT,
        "now": AT,
        "states": frozenset(),
        "overlap": "skip",
        "catch_up": "skip",
        "failures": 0,
        "pause_after": 0,
    }
    return decide(**{**values, **changes})


def test_the_next_time_follows_the_last_one() -> None:
    assert next_time("0 3 * * *", AT) == AT + timedelta(days=1)
    assert next_time("*/15 * * * *", AT + timedelta(seconds=1)) == AT + timedelta(minutes=15)
    assert is_cron("0 3 * * mon") and not is_cron("every day") and not is_cron("* * * * * *")


@pytest.mark.parametrize(
    ("overlap", "submits", "cancels"),
    [("skip", False, False), ("queue", True, False), ("replace", True, True)],
)
def test_the_overlap_policy_decides_while_the_last_tasks_run(
    overlap: str, submits: bool, cancels: bool
) -> None:
    found = turn(states=frozenset({"running", "succeeded"}), overlap=overlap)
    assert (found.submits, found.cancels_last) == (submits, cancels)


def test_a_time_at_which_nobody_led_is_skipped_or_made_up_for_once() -> None:
    late = AT + timedelta(hours=5)
    assert not turn(now=late).submits
    assert turn(now=late, catch_up="once").submits


def test_failures_in_a_row_pause_a_schedule() -> None:
    failed = frozenset({"failed", "succeeded"})
    first = turn(states=failed, pause_after=2)
    assert (first.submits, first.failures) == (True, 1)
    second = turn(states=failed, pause_after=2, failures=1)
    assert (second.submits, second.pauses) == (False, True)
    assert turn(states=frozenset({"succeeded"}), pause_after=2, failures=1).failures == 0


def test_a_failure_is_counted_once_however_long_the_others_run() -> None:
    going_on = frozenset({"failed", "running"})
    assert turn(states=going_on, pause_after=2, failures=1).failures == 1
    assert not turn(states=going_on, pause_after=2, failures=1).pauses
    # These are not looked at again: new ones take their place.
    assert turn(states=going_on, overlap="queue").failures == 1


@pytest.fixture
def context(bench: TaskBench, home: Path) -> Any:
    found = context_for(load(home=home, redis_url=bench.redis_url), "me")
    found.servers.vault()  # makes the key: with logins in the database none is made
    return found


def make_due(name: str, seconds: float = 1) -> None:
    TaskSchedule.update(next_at=utc_now() - timedelta(seconds=seconds)).where(
        TaskSchedule.name == name
    ).execute()


def test_the_leader_submits_what_is_due_once(bench: TaskBench, context: Any) -> None:
    sessions = add("alice", 2)
    acts.add(context, "probes", "0 3 * * *", PROBE)
    acts.add(context, "checks", "0 3 * * *", TaskRequest(kind="session.check", every_session=True))
    bench.tick()
    assert tasks.listing().rows == []
    make_due("probes")
    make_due("checks")
    bench.until(lambda: len(tasks.listing().rows) == 3)
    for _ in range(10):
        bench.tick(0.2)
    rows = tasks.listing().rows
    assert sorted(it["kind"] for it in rows) == ["session.check", "session.check", "task.probe"]
    assert len(sessions) == 2
    assert all(it.next_at > utc_now() for it in acts.listing(context).rows)


def test_a_schedule_that_replaces_cancels_the_last_tasks(bench: TaskBench, context: Any) -> None:
    acts.add(context, "probes", "0 3 * * *", PROBE, overlap="replace")
    for count in (1, 2):
        make_due("probes")
        bench.until(lambda it=count: len(tasks.listing().rows) == it)  # type: ignore[misc]
        bench.tick(1.0)
    bench.until(lambda: bench.state(1) == "cancelled")
    assert bench.state(2) in ("queued", "published")


@pytest.mark.parametrize(("catch_up", "count"), [("skip", 0), ("once", 1)])
def test_hours_without_a_leader_bring_one_task_or_none(
    bench: TaskBench, context: Any, catch_up: str, count: int
) -> None:
    acts.add(context, "probes", "*/5 * * * *", PROBE, catch_up=catch_up)
    make_due("probes", 5 * 3600)
    for _ in range(10):
        bench.tick(0.5)
    assert len(tasks.listing().rows) == count
    [row] = acts.listing(context).rows
    assert row.next_at > utc_now() and ("skipped" in row.note) == (count == 0)


@pytest.mark.parametrize(("overlap", "count"), [("skip", 1), ("queue", 3)])
def test_tasks_that_still_run_are_waited_for_or_added_to(
    bench: TaskBench, context: Any, overlap: str, count: int
) -> None:
    acts.add(context, "probes", "0 3 * * *", PROBE, overlap=overlap)
    for _ in range(3):
        make_due("probes")
        bench.until(lambda: acts.listing(context).rows[0].next_at > utc_now(), tick=0.5)
    assert len(tasks.listing().rows) == count


def test_a_schedule_whose_tasks_fail_is_paused_until_somebody_resumes_it(
    bench: TaskBench, context: Any
) -> None:
    bench.add_node("w1")
    failing = TaskRequest(kind="task.probe", arguments={"fails": True})
    acts.add(context, "probes", "0 3 * * *", failing, pause_after=2)
    for _ in range(3):
        make_due("probes")
        bench.until(
            lambda: (
                bool(rows := acts.listing(context).rows)
                and (rows[0].paused or rows[0].next_at > utc_now())
                and not tasks.counts()
            ),
            tick=0.5,
        )
    [row] = acts.listing(context).rows
    assert (row.paused, row.failures, len(tasks.listing().rows)) == (True, 2, 2)
    assert "failed 2 times" in row.note
    acts.set_paused(context, "probes", False)
    make_due("probes")
    bench.until(lambda: len(tasks.listing().rows) == 3, tick=0.5)


def test_a_schedule_obeys_the_limit_of_its_user(bench: TaskBench, context: Any) -> None:
    add("alice", 3)
    users.set_task_share(context, "alice", limit=4)
    request = TaskRequest(kind="session.check", user="alice")
    acts.add(context, "checks", "0 3 * * *", request, overlap="queue")
    make_due("checks")
    bench.until(lambda: len(tasks.listing().rows) == 3)
    make_due("checks")
    bench.until(lambda: bool(acts.listing(context).rows[0].note))
    [row] = acts.listing(context).rows
    assert "may have 4 unfinished tasks" in row.note and row.next_at > utc_now()
    assert len(tasks.listing().rows) == 3


def test_what_is_wrong_in_a_schedule_is_said_in_a_sentence(context: Any) -> None:
    for cron in ("daily", "99 3 * * *", "0 0 31 2 *"):
        with pytest.raises(UsageError, match="five fields"):
            acts.add(context, "a", cron, PROBE)
    with pytest.raises(UsageError, match="overlap"):
        acts.add(context, "a", "* * * * *", PROBE, overlap="odd")
    acts.add(context, "a", "* * * * *", PROBE)
    with pytest.raises(UsageError, match="already"):
        acts.add(context, "a", "* * * * *", PROBE)
    assert acts.set_paused(context, "a", True) == "a"
    assert schedules.due(utc_now() + timedelta(days=1)) == []
    assert acts.remove(context, "a") == "a"
    with pytest.raises(UsageError, match="no schedule"):
        acts.remove(context, "a")
