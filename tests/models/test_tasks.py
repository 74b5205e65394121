"""Tasks in SQL: their steps, fair shares, publications, on both databases."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from afx.errors import UsageError
from models import base, tables
from models.base import utc_now
from models.storage import sessions, task_logs, task_queue, tasks, users
from models.storage.sessions import NewSession
from models.storage.task_queue import Ended, Publication
from models.storage.tasks import NewTask
from models.transitions import TASK, TransitionError


def submit(*new: NewTask) -> list[int]:
    return tasks.submit(new or [NewTask("check")], "me")


def publish(*ids: int, incarnation: str = "one") -> None:
    with base.transaction():
        standings = task_queue.standings(ids)
        rows = [Publication(it, standings[it].publication + 1, "w1", incarnation) for it in ids]
        task_queue.publish(rows, utc_now())


def run(number: int, publication: int = 1) -> None:
    with base.transaction():
        task_queue.note_started([(number, publication, "w1", "one", utc_now())])


def end(number: int, state: str, publication: int = 1, **fields: Any) -> None:
    with base.transaction():
        task_queue.note_ended([Ended(number, publication, state, attempts=1, **fields)])


def state(number: int) -> str:
    return str(tasks.get(number)["state"])


def test_a_task_moves_from_its_queue_to_its_result(database: Any) -> None:
    [number] = submit(NewTask("check", arguments='{"chat":"@a"}'))
    publish(number)
    assert state(number) == "published"
    run(number)
    with base.transaction():
        task_queue.note_progress([(number, 1, 0.5, '{"at":3}')])
    task = tasks.get(number)
    assert (task["state"], task["progress"], task["cursor"]) == ("running", 0.5, '{"at":3}')
    end(number, "succeeded", result='{"rows":3}', finished_at=utc_now())
    task = tasks.get(number)
    assert (task["state"], task["result"], task["progress"]) == ("succeeded", {"rows": 3}, 1.0)
    assert task["attempts"] == 1 and tasks.arguments_of(task) == {"chat": "@a"}


def test_reports_of_an_earlier_publication_change_nothing(database: Any) -> None:
    [number] = submit()
    publish(number)
    end(number, "queued")
    publish(number)
    run(number, publication=1)
    end(number, "succeeded", publication=1)
    assert state(number) == "published"
    run(number, publication=2)
    end(number, "succeeded", publication=2)
    assert state(number) == "succeeded"
    end(number, "failed", publication=2)
    assert state(number) == "succeeded"


def test_each_user_of_a_queue_is_found_whatever_others_have_queued(database: Any) -> None:
    submit(*(NewTask("check", user=7) for _ in range(30)))
    submit(NewTask("check", user=9), NewTask("check", user=9, priority=0))
    assert task_queue.users_waiting(2) == [7, 9]
    assert task_queue.users_waiting(0) == [9]
    assert task_queue.users_waiting(1) == []
    assert [it.id for it in task_queue.oldest(2, 9, 5)] == [31]
    assert [it.id for it in task_queue.oldest(2, 7, 2)] == [1, 2]


def test_tasks_that_are_submitted_together_are_a_batch(database: Any) -> None:
    first = submit(*(NewTask("check") for _ in range(3)))
    [alone] = submit()
    assert {tasks.get(it)["batch_id"] for it in first} == {first[0]}
    assert tasks.get(alone)["batch_id"] is None
    assert [it["id"] for it in tasks.listing(batch=first[0]).rows] == first[::-1]


def test_a_unique_key_has_one_task_that_has_not_finished(database: Any) -> None:
    [number] = submit(NewTask("check", unique_key="a"))
    with pytest.raises(UsageError, match="has not finished"):
        submit(NewTask("check", unique_key="a"))
    tasks.cancel(number, "why")
    [another] = submit(NewTask("check", unique_key="a"))
    assert tasks.unfinished_of_key("a") == another
    with pytest.raises(UsageError, match="has not finished"):
        tasks.retry(number)


def test_a_task_of_a_missing_session_is_refused_with_all_beside_it(database: Any) -> None:
    with pytest.raises(UsageError, match="nothing was queued"):
        submit(NewTask("check"), NewTask("check", 999))
    assert tasks.listing().rows == []


def test_a_task_for_later_waits_for_its_time(database: Any) -> None:
    [number] = submit(NewTask("check", run_after=utc_now() + timedelta(hours=1)))
    with base.transaction():
        assert task_queue.release_due(utc_now()) == 0
        assert state(number) == "waiting"
        assert task_queue.release_due(utc_now() + timedelta(hours=2)) == 1
    assert state(number) == "queued"


def test_a_task_waits_until_its_session_runs(database: Any) -> None:
    one, two = sessions.create_many(
        users.create("alice"), [NewSession("a", "x"), NewSession("b", "x")]
    )
    first, second = submit(NewTask("check", one), NewTask("check", two))
    with base.transaction():
        task_queue.hold([first, second])
        assert task_queue.release_due(utc_now() + timedelta(days=900)) == 0
        task_queue.release_of_sessions({two: 9, one: 0})
        assert (state(first), state(second)) == ("waiting", "queued")
    assert task_queue.sessions_waited_for() == [one]
    assert sessions.remove_unused(sessions.find(str(one)))
    assert task_queue.sessions_waited_for() == [0]
    with base.transaction():
        task_queue.release_of_removed_sessions()
    assert (state(first), task_queue.sessions_waited_for()) == ("queued", [])


def test_tasks_that_were_given_out_are_counted_by_session(database: Any) -> None:
    [session] = sessions.create_many(users.create("alice"), [NewSession("a", "x")])
    ids = submit(*(NewTask("check", session) for _ in range(3)))
    publish(*ids[:2])
    run(ids[0])
    assert task_queue.given_out_by_session([session]) == {session: 2}
    assert [it.state for it in task_queue.given_out()] == ["running", "published"]


def test_a_task_that_a_node_may_have_is_cancelled_by_the_leader(database: Any) -> None:
    queued, given = submit(NewTask("check"), NewTask("check"))
    assert tasks.cancel(queued, "why") == "cancelled"
    publish(given)
    assert tasks.cancel(given, "why") == "cancelling"
    assert [it.cancelling for it in task_queue.given_out()] == [True]


def test_a_task_is_paused_and_resumed_where_it_was(database: Any) -> None:
    start_by = utc_now() + timedelta(seconds=60)
    queued, given = submit(NewTask("check", unique_key="k", start_by=start_by), NewTask("check"))
    assert tasks.pause(queued, "by me") == "paused"
    assert tasks.get(queued)["error"] == "by me"
    assert tasks.unfinished_of_key("k") == queued
    with base.transaction():
        task_queue.release_due(utc_now())
    publish(given)
    assert tasks.pause(given, "by me") == "pausing"
    assert [(it.pausing, it.is_stopping) for it in task_queue.given_out()] == [(True, True)]
    assert task_queue.standings([given])[given].pausing
    with pytest.raises(TransitionError):
        tasks.resume(given)
    end(given, "paused")
    assert (state(queued), state(given), tasks.get(given)["error"]) == ("paused", "paused", "by me")
    for it in (queued, given):
        with pytest.raises(TransitionError):
            tasks.pause(it, "again")
        tasks.resume(it)
        assert state(it) == "queued" and not tasks.get(it)["pausing"]
    assert not task_queue.has_late(start_by + timedelta(seconds=1))  # however long it was paused
    tasks.pause(queued, "by me")
    assert tasks.cancel(queued, "why") == "cancelled"


def test_nodes_are_told_of_tasks_of_sessions_that_are_over(database: Any) -> None:
    [session] = sessions.create_many(users.create("alice"), [NewSession("a", "x")])
    paused, cancelled, _, _ = submit(
        *(NewTask("rule.replay", session) for _ in range(3)), NewTask("check", session)
    )
    tasks.pause(paused, "")
    tasks.cancel(cancelled, "")
    before = utc_now() - timedelta(seconds=60)
    told = [(cancelled, 0, session), (paused, 0, session)]
    assert task_queue.ended_of_kind("rule.replay", before, 9) == told
    assert task_queue.ended_of_kind("rule.replay", before, 1) == told[:1]
    assert task_queue.ended_of_kind("rule.replay", before, 1, below=cancelled) == told[1:]
    after = utc_now() + timedelta(seconds=60)
    assert task_queue.ended_of_kind("rule.replay", after, 9) == told[1:]


def test_a_queue_is_emptied_and_its_failed_tasks_are_tried_again(database: Any) -> None:
    queued, failed, other = submit(NewTask("check"), NewTask("check"), NewTask("c", priority=0))
    publish(failed)
    tasks.cancel(failed, "it failed before it was cancelled")
    end(failed, "failed", error="why", finished_at=utc_now())
    assert tasks.cancel_queued(2, "purged") == 1
    assert tasks.retry_failed(2) == 1
    assert (state(queued), state(failed), state(other)) == ("cancelled", "queued", "queued")
    assert tasks.counts() == {(2, "queued"): 1, (0, "queued"): 1}
    assert not tasks.get(failed)["cancelling"]


TASK_STEPS: dict[str, Callable[[int], object]] = {
    "waiting": lambda it: _in_transaction(lambda: task_queue.hold([it])),
    "published": lambda it: publish(it),
    "running": lambda it: run(it, _publication(it)),
    "succeeded": lambda it: end(it, "succeeded", _publication(it)),
    "failed": lambda it: end(it, "failed", _publication(it)),
    "cancelled": lambda it: tasks.cancel(it, "why"),
    "queued": lambda it: tasks.retry(it),
    "paused": lambda it: tasks.pause(it, "why"),
    "resumed": lambda it: tasks.resume(it),
}


def _publication(number: int) -> int:
    return int(tasks.get(number)["publication"])


def _in_transaction(act: Callable[[], object]) -> None:
    with base.transaction():
        act()


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from(sorted(TASK_STEPS)), max_size=8))
def test_no_sequence_of_steps_breaks_the_task_state_machine(
    database: Any, steps: list[str]
) -> None:
    tables.WorkerTask.delete().execute()
    [number] = submit()
    for step in steps:
        before = tasks.get(number)
        try:
            TASK_STEPS[step](number)
        except TransitionError:
            assert tasks.get(number) == before
        after = state(number)
        assert after == before["state"] or after in TASK[before["state"]]


def test_tasks_are_listed(database: Any) -> None:
    [owner] = sessions.create_many(users.create("alice"), [NewSession("a", "x")])
    submit(NewTask("export", owner))
    submit(NewTask("backfill"))
    submit(NewTask("export"))
    assert [it["id"] for it in tasks.listing(kind="export").rows] == [3, 1]
    assert [it["id"] for it in tasks.listing(session=owner).rows] == [1]
    page = tasks.listing(limit=2)
    assert [it["id"] for it in tasks.listing(before=page.next).rows] == [1]
    with pytest.raises(UsageError):
        tasks.listing(state="odd")
    with pytest.raises(UsageError):
        tasks.get(999)


def test_old_tasks_are_pruned_and_unfinished_ones_are_not(database: Any) -> None:
    for _ in range(3):
        submit()
    tasks.cancel(1, "")
    tasks.cancel(2, "")
    with base.transaction():
        task_logs.append([(it, 0, base.utc_now(), "said") for it in (1, 2, 3)])
    with base.transaction():
        assert tasks.prune(base.utc_now(), 1) == 1
        assert [it.task for it in task_logs.lines([1, 2, 3])] == [2, 3]
        assert tasks.prune(base.utc_now(), 9) == 1
    assert [it["id"] for it in tasks.listing().rows] == [3]
    assert [it.task for it in task_logs.lines([1, 2, 3])] == [3]
