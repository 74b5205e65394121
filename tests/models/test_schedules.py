"""Schedules of tasks in SQL, on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from afx.errors import UsageError
from models import base
from models.base import utc_now
from models.storage import schedules, sessions, task_owners, task_queue, tasks, users
from models.storage.schedules import NewSchedule
from models.storage.sessions import NewSession, create_many
from models.storage.tasks import NewTask
from models.tables import WorkerTask

SCHEDULE = NewSchedule(
    name="nightly",
    kind="session.check",
    cron="0 3 * * *",
    arguments="{}",
    sessions=None,
    user=0,
    priority=2,
    premium_priority=0,
    max_attempts=3,
    timeout_seconds=600,
    overlap="skip",
    catch_up="skip",
    pause_after=3,
    next_at=utc_now(),
)


def test_a_schedule_is_found_by_its_name_and_of_its_user(database: Any) -> None:
    number = schedules.add(SCHEDULE, "me")
    assert schedules.find("nightly").id == number
    schedules.add(replace(SCHEDULE, name="alices", user=7), "me")
    assert schedules.find("alices", user=7).kind == "session.check"
    with pytest.raises(UsageError, match="no schedule 'nightly'"):
        schedules.find("nightly", user=7)


def test_a_removed_user_leaves_nothing_to_the_next_one_of_its_id(database: Any) -> None:
    users.create("alice")
    bob = users.find(users.create("bob").name)
    schedules.add(replace(SCHEDULE, name="of bob", user=bob.id), "me")
    schedules.add(replace(SCHEDULE, name="of all"), "me")
    [task] = tasks.submit([NewTask("check", user=bob.id)], "me")
    with base.transaction():
        task_owners.forget_user(bob.id)
    assert [it["name"] for it in schedules.listing().rows] == ["of all"]
    assert tasks.get(task)["user_id"] == 0
    schedules.add(replace(SCHEDULE, name="of bob", user=bob.id), "me")
    users.remove(bob)
    carol = users.create("carol")
    assert schedules.listing(user=carol.id).rows == []


def test_a_removed_session_is_in_no_schedule_any_more(database: Any) -> None:
    one, two = create_many(users.create("alice"), [NewSession(it, "sealed") for it in ("a", "b")])
    schedules.add(replace(SCHEDULE, name="both", sessions=[one, two]), "me")
    schedules.add(replace(SCHEDULE, name="second", sessions=[two]), "me")
    schedules.add(replace(SCHEDULE, name="none", sessions=[]), "me")
    assert sessions.remove_unused(sessions.find(str(two)))
    assert schedules.find("both").sessions == [one]
    assert schedules.find("second").sessions == [0]  # no session at all
    assert schedules.find("none").sessions == []
    with base.transaction():
        task_owners.forget_sessions([one])
    assert schedules.find("both").sessions == [0]


def test_a_name_is_given_once(database: Any) -> None:
    schedules.add(SCHEDULE, "me")
    with pytest.raises(UsageError, match="already"):
        schedules.add(SCHEDULE, "me")


def test_schedules_are_listed_by_name_and_user(database: Any) -> None:
    for name, user in (("b", 7), ("a", 0), ("c", 7)):
        schedules.add(replace(SCHEDULE, name=name, user=user), "me")
    assert [it["name"] for it in schedules.listing().rows] == ["a", "b", "c"]
    assert [it["name"] for it in schedules.listing(user=7).rows] == ["b", "c"]


def test_schedules_whose_time_has_come_are_due_unless_they_are_paused(database: Any) -> None:
    now = utc_now()
    schedules.add(replace(SCHEDULE, next_at=now), "me")
    schedules.add(replace(SCHEDULE, name="later", next_at=now + timedelta(hours=1)), "me")
    assert [it.name for it in schedules.due(now)] == ["nightly"]
    schedules.set_paused(schedules.find("nightly"), True, now)
    assert schedules.due(now) == []
    schedules.set_paused(schedules.find("nightly"), False, now)
    [due] = schedules.due(now)
    schedules.advance(due, next_at=now + timedelta(days=1))
    assert schedules.due(now) == []
    assert schedules.find("nightly").last_at is not None
    schedules.remove(due)
    assert [it["name"] for it in schedules.listing().rows] == ["later"]


def test_what_a_schedule_has_submitted_last_is_known_by_its_states(database: Any) -> None:
    schedules.add(SCHEDULE, "me")
    schedule = schedules.find("nightly")
    assert schedules.states_of_last(schedule) == set()
    first, second = tasks.submit([NewTask("check"), NewTask("check")], "me")
    tasks.cancel(second, "why")
    schedules.advance(schedule, batch_id=first)
    assert schedules.states_of_last(schedules.find("nightly")) == {"queued", "cancelled"}
    later = utc_now() + timedelta(days=40)  # they were pruned, and another task has got an id
    WorkerTask.update(created_at=later).where(WorkerTask.id == first).execute()
    assert schedules.states_of_last(schedules.find("nightly")) == {"cancelled"}


def test_the_last_submission_is_cancelled_whether_it_is_one_task_or_many(database: Any) -> None:
    [alone] = tasks.submit([NewTask("check")], "me")
    batch = tasks.submit([NewTask("check"), NewTask("check")], "me")
    for first in (alone, batch[0]):
        tasks.cancel_batch_or_one(first, "the next one begins")
    assert {str(tasks.get(it)["state"]) for it in (alone, *batch)} == {"cancelled"}
    assert not task_queue.has_queued()
