"""What lets sessions hibernate by themselves, and tasks that wake them, in SQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from support.assignments import assign

from models import base
from models.storage import assignments, hibernation, placing, queue, rules, sessions, tasks, users
from models.storage.sessions import NewSession
from models.storage.task_queue import UNTIL_SESSION_RUNS
from models.storage.tasks import NewTask
from models.tables import Session, SessionAssignment, WorkerTask

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def session(session_id: int) -> Session:
    found: Session = Session.get_by_id(session_id)
    return found


def waiting_task(session_id: int, state: str = "waiting", **fields: Any) -> int:
    [number] = tasks.submit(
        [NewTask(kind="session.check", arguments="{}", session=session_id)], "me"
    )
    WorkerTask.update(state=state, **{"run_after": UNTIL_SESSION_RUNS, **fields}).where(
        WorkerTask.id == number
    ).execute()
    return int(number)


def test_a_task_wakes_its_session_also_one_that_has_no_rule(ids: list[int]) -> None:
    [idle] = sessions.create_many(users.find("alice"), [NewSession("idle", "sealed")])
    hibernation.request(session(ids[0]), NOW)
    for it in (idle, *ids):
        waiting_task(it)
    assert sorted(hibernation.wakeable([*ids, idle])) == [ids[0], idle]
    assert sorted(hibernation.awaited_by_tasks(10)) == [ids[0], idle]
    with base.transaction():
        hibernation.wake_for_tasks([*ids, idle], NOW)
    assert sorted(it.session for it in hibernation.awake()) == [ids[0], idle]
    assert idle in [it.id for it in placing.unplaced(10)]
    with base.transaction():
        queue.put_many([(idle, "no room")])
    assert queue.obsolete() == []


def test_a_session_with_tasks_now_or_soon_is_told_from_one_with_tasks_later(
    ids: list[int],
) -> None:
    [queued] = sessions.create_many(users.find("alice"), [NewSession("queued", "sealed")])
    waiting_task(queued, "queued")
    waiting_task(ids[0], "running")
    waiting_task(ids[1], run_after=base.utc_now() + timedelta(seconds=20))
    waiting_task(ids[2], run_after=base.utc_now() + timedelta(hours=1))
    assert hibernation.with_tasks([*ids, queued]) == {*ids[:2], queued}
    assert hibernation.with_tasks([]) == set()


def test_sessions_without_a_rule_are_found_once_it_has_been_so_for_long(ids: list[int]) -> None:
    made = sessions.create_many(
        users.find("alice"), [NewSession(f"idle{it}", "sealed") for it in range(3)]
    )
    assign(made[1])
    with base.transaction():
        assignments.end_many([(made[1], it.epoch) for it in assignments.active()], "x")
    ended = SessionAssignment.get(SessionAssignment.session == made[1]).ended_at
    sessions.set_desired_state(session(made[2]), "paused")
    after = base.utc_now() + timedelta(seconds=1)
    assert hibernation.without_rule(0, None, after) == dict.fromkeys(made[:2], 1)
    assert hibernation.without_rule(0, None, ended) == dict.fromkeys(made[:1], 1)
    assert hibernation.without_rule(made[0], made[1], after) == dict.fromkeys(made[1:2], 1)
    assert hibernation.without_rule(0, None, session(made[0]).created_at) == {}


def test_old_logins_are_told_from_fresh_ones(ids: list[int]) -> None:
    before = session(ids[0]).created_at
    assert hibernation.older_than(ids, before + timedelta(days=1)) == dict.fromkeys(ids, 2)
    assert hibernation.older_than(ids, before - timedelta(days=1)) == {}


def test_a_new_login_of_an_old_session_is_a_fresh_one(ids: list[int]) -> None:
    [idle] = sessions.create_many(users.find("alice"), [NewSession("idle", "sealed")])
    Session.update(created_at=NOW - timedelta(days=4000)).execute()
    before = base.utc_now()
    assert len(hibernation.older_than([*ids, idle], before)) == 4
    assert idle in hibernation.without_rule(0, None, before)
    sessions.replace_login(session(idle), NewSession("idle", "another", "f"))
    assert hibernation.older_than([idle], before) == {}
    assert hibernation.without_rule(0, None, before) == {}


def test_how_long_a_login_lasts_without_use_is_kept(ids: list[int]) -> None:
    with base.transaction():
        hibernation.note_login_days([(ids[0], 183), (ids[1], 7)])
    assert hibernation.login_days(ids) == {ids[0]: 183, ids[1]: 7}
    sessions.set_desired_state(session(ids[1]), "running")
    with base.transaction():
        hibernation.wake_for_tasks(ids[1:2], NOW)
        hibernation.begin([(ids[1], 2, NOW)], "quiet")
        hibernation.wake(ids[1:2], NOW)
    assert [it.login_days for it in hibernation.awake()] == [7]


def test_a_rule_that_is_added_after_a_session_was_chosen_keeps_it_awake(ids: list[int]) -> None:
    [idle] = sessions.create_many(users.find("alice"), [NewSession("idle", "sealed")])
    [(_, revision)] = hibernation.without_rule(ids[-1], None, NOW).items()
    rules.create(session(idle), ["@a"], ["@b"])  # another process, meanwhile
    with base.transaction():
        hibernation.begin([(idle, revision, NOW)], "no_rule")
    assert session(idle).desired_state == "running"


def test_a_session_that_hibernates_for_want_of_a_rule_and_has_one_is_found(
    ids: list[int],
) -> None:
    [idle] = sessions.create_many(users.find("alice"), [NewSession("idle", "sealed")])
    with base.transaction():
        hibernation.begin([(ids[0], 2, NOW), (idle, 1, NOW)], "no_rule")
        hibernation.begin([(ids[1], 2, NOW)], "quiet")
    assert hibernation.with_rule(0, None) == ids[:1]
    assert hibernation.with_rule(ids[0], ids[2]) == []
