"""Sessions that hibernate, as a leader stops, wakes and forgets none of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from support import term_harness
from support.hibernating import caught_up, session, sleep, state, ticks
from support.term_harness import IDLE, MIB, TermHarness, add, placed, running

from afx.cluster import report_stream
from afx.cluster.reports import Active, LoginLimit, TaskEnded
from afx.coordinator import hibernation as leaders_hibernation
from afx.coordinator import idle_sessions
from afx.coordinator.decisions import hibernation as decisions
from afx.reasons import TaskOutcome
from models.base import transaction, utc_now
from models.storage import assignments, controls, hibernation, rules, sessions, tasks, users
from models.storage.control_subjects import SessionSubject
from models.storage.sessions import NewSession
from models.storage.tasks import NewTask
from models.tables import Session

_HOUR = timedelta(hours=1)
_SOON = timedelta(minutes=10)


@pytest.fixture
def made(harness: TermHarness) -> list[int]:
    """Three sessions that run on one node."""
    harness.add_node("w1")
    found = add("alice", 3)
    harness.until(lambda: running() == set(found))
    return found


def test_a_session_that_hibernates_is_stopped_and_its_room_is_free(
    harness: TermHarness, made: list[int]
) -> None:
    sleep(made[0])
    control = controls.request(kind="hibernate", subject=SessionSubject(made[0]), actor="me")
    harness.until(lambda: controls.get(control.id)["state"] == "done")
    assert running() == set(made[1:])
    assert harness.assigned() == {"w1": 2}
    ticks(harness)
    assert len(harness.sent("start", made[0])) == 1
    assert state(made[0]) == "hibernated"


def test_it_is_not_placed_before_its_node_has_stopped_it(
    harness: TermHarness, made: list[int]
) -> None:
    harness.obeying = False
    sleep(made[0])
    harness.until(lambda: bool(harness.sent("stop", made[0])))
    sessions.set_desired_state(session(made[0]), "running")  # woken before it has stopped
    ticks(harness, 10)
    assert len(harness.sent("start", made[0])) == 1
    [stop] = harness.sent("stop", made[0])
    harness.obeying = True
    harness.orders.send("stop", 0, stop.node, stop.incarnation, [(stop.session, stop.epoch)])
    harness.until(lambda: running() == set(made))
    assert not harness.ran_twice


def test_it_hibernates_under_the_next_leader_and_after_redis_has_lost_all(
    harness: TermHarness, made: list[int]
) -> None:
    sleep(made[0])
    harness.until(lambda: made[0] not in placed())
    harness.redis.flushall()
    harness.change_leader()
    harness.until(lambda: running() == set(made[1:]))
    assert state(made[0]) == "hibernated"
    sessions.set_desired_state(session(made[0]), "running")
    harness.until(lambda: running() == set(made))


def test_it_wakes_by_schedule_and_sleeps_again_when_it_has_caught_up(
    harness: TermHarness, made: list[int]
) -> None:
    sleep(made[0], after=timedelta(seconds=-1))
    harness.until(lambda: len(harness.sent("start", made[0])) == 2 and made[0] in running())
    ticks(harness)
    assert made[0] in running()  # it has not said that it has caught up
    before = utc_now()
    caught_up(harness, made[0])
    harness.until(lambda: made[0] not in placed())
    wakes_at = sessions.describe(session(made[0]))["wakes_at"]
    assert timedelta(minutes=13) < wakes_at - before < timedelta(minutes=16)
    assert not harness.ran_twice


def test_it_wakes_also_when_the_clock_has_gone_back_since_it_fell_asleep(
    harness: TermHarness, made: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    sleep(made[0], after=_HOUR)  # more than the quarter of an hour that it may
    harness.until(lambda: len(harness.sent("stop", made[0])) == 1 and made[0] not in placed())
    harness.change_leader()
    harness.until(lambda: made[0] in running())


def test_sessions_that_find_no_room_keep_no_other_asleep(
    harness: TermHarness, made: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaders_hibernation, "_MOST_STARTING", 1)
    monkeypatch.setattr(leaders_hibernation, "_STARTING", timedelta(0))
    sessions.set_requires(session(made[0]), {"region": "nowhere"})
    sleep(*made[:2])
    harness.until(lambda: not {*made[:2]} & placed().keys())
    sleep(made[0], after=timedelta(seconds=-2))
    harness.until(lambda: state(made[0]) == "waiting")
    sleep(made[1], after=timedelta(seconds=-1))
    harness.until(lambda: made[1] in running())


def test_too_many_that_find_no_room_let_none_wake_until_they_sleep_again(
    harness: TermHarness, made: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaders_hibernation, "_MOST_WAITING", 1)
    sessions.set_requires(session(made[0]), {"region": "nowhere"})
    sleep(*made[:2])
    harness.until(lambda: not {*made[:2]} & placed().keys())
    sleep(made[0], after=timedelta(seconds=-2))
    harness.until(lambda: state(made[0]) == "waiting")
    sleep(made[1], after=timedelta(seconds=-1))
    ticks(harness, 30)
    assert state(made[1]) == "hibernated"
    Session.update(awake_at=utc_now() - _HOUR).where(Session.id == made[0]).execute()
    harness.until(lambda: made[1] in running())
    assert state(made[0]) == "hibernated"


def test_what_an_earlier_leader_woke_is_asleep_in_the_end(
    harness: TermHarness, made: list[int]
) -> None:
    sleep(made[0], after=timedelta(seconds=-1))
    harness.until(lambda: len(harness.sent("start", made[0])) == 2 and made[0] in running())
    harness.change_leader()
    # Its node reports it once more, and then that it has caught up.
    harness.until(lambda: len(harness.sent("start", made[0])) == 3)
    caught_up(harness, made[0])
    harness.until(lambda: state(made[0]) == "hibernated")


def test_a_report_that_was_lost_is_asked_for_again(
    harness: TermHarness, made: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaders_hibernation, "_ASK_SECONDS", 0.5)
    orders = len(harness.sent("start", made[0]))
    sleep(made[0])
    with transaction():
        hibernation.wake(made[:1], utc_now())  # before it was stopped: it runs on
    harness.until(lambda: len(harness.sent("start", made[0])) > orders)
    assert running() == set(made)


def test_a_session_that_never_catches_up_sleeps_after_some_time(
    harness: TermHarness, made: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    sleep(made[0], after=timedelta(seconds=-1))
    harness.until(lambda: len(harness.sent("start", made[0])) == 2 and made[0] in running())
    monkeypatch.setattr(decisions, "AWAKE_SECONDS", 0.5)
    harness.until(lambda: state(made[0]) == "hibernated")


def test_a_session_that_has_waited_long_for_a_node_has_time_to_catch_up(
    harness: TermHarness,
) -> None:
    harness.add_node("w1", most=1)
    found = set(add("alice", 2))
    harness.until(lambda: len(running()) == 1)
    [runs] = running()
    [other] = found - {runs}
    sleep(other, after=timedelta(seconds=-1))
    harness.until(lambda: session(other).awake_at is not None)
    assert other not in placed()
    Session.update(awake_at=utc_now() - _HOUR).where(Session.id == other).execute()
    sessions.set_desired_state(session(runs), "paused")
    harness.until(lambda: other in running())
    ticks(harness)
    assert running() == {other}


def test_an_operator_wakes_it_for_good(harness: TermHarness, made: list[int]) -> None:
    sleep(made[0])
    harness.until(lambda: made[0] not in placed())
    sessions.set_desired_state(session(made[0]), "running")
    control = controls.request(kind="wake", subject=SessionSubject(made[0]), actor="me")
    harness.until(lambda: controls.get(control.id)["state"] == "done")
    caught_up(harness, made[0])
    ticks(harness)
    assert running() == set(made)


def test_a_task_wakes_it_and_it_sleeps_when_the_task_has_ended(
    harness: TermHarness, made: list[int]
) -> None:
    sleep(made[0])
    harness.until(lambda: made[0] not in placed())
    [task] = tasks.submit([NewTask("session.check", made[0])], "me")
    harness.until(lambda: tasks.get(task)["state"] == "published")
    caught_up(harness, made[0])
    ticks(harness)
    assert made[0] in running()
    found = tasks.get(task)
    [active] = [it for it in assignments.active() if it.session == made[0]]
    ended = TaskEnded(
        node=active.worker,
        incarnation=active.incarnation,
        task_id=task,
        publication=1,
        outcome=TaskOutcome.SUCCEEDED,
        started_at=1_800_000_000_000,
        ended_at=1_800_000_000_001,
    )
    report_stream.publish(harness.redis, [ended])
    harness.until(lambda: state(made[0]) == "hibernated")
    assert found["session"] is not None


def test_a_task_runs_also_on_a_session_that_has_no_rule(harness: TermHarness) -> None:
    harness.add_node("w1")
    [idle] = sessions.create_many(users.create("bob"), [NewSession("idle", "sealed")])
    ticks(harness)
    assert placed() == {}
    [task] = tasks.submit([NewTask("session.check", idle)], "me")
    harness.until(lambda: tasks.get(task)["state"] == "published")
    assert sessions.describe(session(idle))["hibernation"] == "no_rule"


def test_a_task_that_waits_for_a_paused_session_without_a_rule_runs_when_it_is_resumed(
    harness: TermHarness,
) -> None:
    harness.add_node("w1")
    [idle] = sessions.create_many(users.create("bob"), [NewSession("idle", "sealed")])
    sessions.set_desired_state(session(idle), "paused")
    [task] = tasks.submit([NewTask("session.check", idle)], "me")
    ticks(harness, 10)
    assert tasks.get(task)["state"] == "waiting"
    sessions.set_desired_state(session(idle), "running")
    harness.change_leader()  # which looks for such tasks at once
    harness.until(lambda: tasks.get(task)["state"] == "published")


def test_a_session_that_hibernates_during_its_move_is_placed_nowhere(
    harness: TermHarness, made: list[int]
) -> None:
    harness.add_node("w2")
    harness.tick()
    harness.obeying = False
    controls.request(kind="move", subject=SessionSubject(made[0]), actor="me", target="w2")
    harness.until(lambda: bool(harness.sent("stop", made[0])))
    sleep(made[0])
    harness.obeying = True
    harness.until(lambda: made[0] not in placed())
    ticks(harness)
    assert not [it for it in harness.sent("start", made[0]) if it.node == "w2"]
    sessions.set_desired_state(session(made[0]), "running")
    harness.until(lambda: running() == set(made))
    assert not harness.ran_twice


def test_it_is_not_forgotten_when_its_node_dies_while_it_falls_asleep(
    harness: TermHarness, made: list[int]
) -> None:
    harness.add_node("w2")
    harness.obeying = False
    sleep(made[0])
    harness.until(lambda: bool(harness.sent("stop", made[0])))
    harness.kill_node("w1")
    harness.obeying = True
    harness.until(lambda: state(made[0]) == "hibernated" and running() == set(made[1:]))
    sessions.set_desired_state(session(made[0]), "running")
    harness.until(lambda: placed().get(made[0]) == "w2")
    assert not harness.ran_twice


def test_many_that_wake_at_once_are_placed_premium_first_and_as_nodes_have_room(
    harness: TermHarness,
) -> None:
    harness.add_node("w1", most=30)
    free = add("bob", 60)
    users.set_tier(users.find("bob"), "free")
    gold = add("gina", 20)
    users.set_tier(users.find("gina"), "premium")
    sleep(*free, *gold, after=timedelta(seconds=-1))
    harness.until(lambda: set(gold) <= running())
    assert len(running()) <= 30
    for _ in range(200):
        caught_up(harness, *running())
        harness.tick()
        if all(state(it) == "hibernated" for it in (*free, *gold)):
            break
    assert all(state(it) == "hibernated" for it in (*free, *gold))
    assert all(harness.sent("start", it) for it in (*free, *gold))
    assert not harness.ran_twice


@pytest.fixture
def thrifty(
    home: Path, redis_url: str, sql: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TermHarness]:
    """A leader that lets quiet sessions hibernate, and such as have no rule; it looks often."""
    del sql
    monkeypatch.setattr(idle_sessions, "_SCAN_SECONDS", 0.5)
    monkeypatch.setattr(idle_sessions, "_RAM_SECONDS", 0.3)
    harness = TermHarness(
        home,
        redis_url,
        hibernate_after_minutes=0.01,
        hibernate_unused_minutes=0.0001,
        hibernate_fresh_hours=0.0,
    )
    yield harness
    harness.close()


def aged(ids: list[int]) -> None:
    """Let sessions have run, and been quiet, for an hour."""
    Session.update(created_at=utc_now() - 2 * _HOUR, active_at=utc_now() - _HOUR).where(
        Session.id.in_(ids)
    ).execute()


def test_quiet_sessions_of_a_node_that_is_short_of_ram_hibernate_free_ones_first(
    thrifty: TermHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    thrifty.add_node("w1")
    free = add("bob", 3)
    gold = add("gina", 2)
    users.set_tier(users.find("gina"), "premium")
    thrifty.until(lambda: running() == {*free, *gold})
    aged([*free, *gold])
    ticks(thrifty, 5)
    assert running() == {*free, *gold}  # there is RAM enough
    [task] = tasks.submit([NewTask("session.check", free[0])], "me")
    thrifty.until(lambda: tasks.get(task)["state"] == "published")
    short = replace(IDLE, ram_free=512 * MIB - 1, ram_limit=1000)
    monkeypatch.setattr(term_harness, "IDLE", short)
    thrifty.until(lambda: any(state(it) == "hibernated" for it in free))
    assert state(free[0]) == "running"  # it has a task
    assert set(gold) <= running()
    reasons = [sessions.describe(session(it))["hibernation"] for it in free]
    assert reasons.count("quiet") == 1


def test_a_quiet_session_that_forwards_when_it_wakes_stays_awake(thrifty: TermHarness) -> None:
    thrifty.add_node("w1")
    [one, other] = add("bob", 2)
    thrifty.until(lambda: running() == {one, other})
    with transaction():
        rows = [(it, session(it).revision, utc_now() + _SOON) for it in (one, other)]
        hibernation.begin(rows, "quiet")
    thrifty.until(lambda: placed() == {})
    with transaction():
        hibernation.wake([one, other], utc_now())
    thrifty.until(lambda: running() == {one, other})
    origin = {"node": "w1", "incarnation": "w1-1"}
    report_stream.publish(thrifty.redis, [Active(**origin, session_ids=(one,))])
    caught_up(thrifty, one, other)
    thrifty.until(lambda: state(other) == "hibernated")
    assert (running(), sessions.describe(session(one))["hibernation"]) == ({one}, "")


def test_a_session_whose_rule_is_disabled_hibernates_and_one_with_a_rule_wakes_for_good(
    thrifty: TermHarness,
) -> None:
    thrifty.add_node("w1")
    [one] = add("bob", 1)
    thrifty.until(lambda: running() == {one})
    [rule] = list(session(one).rules)
    rules.change(rule, enabled=False)
    thrifty.until(lambda: state(one) == "hibernated")
    found = sessions.describe(session(one))
    assert found["hibernation"] == "no_rule"
    # Nobody knows yet how long its login lasts: it wakes soon, to ask.
    assert found["wakes_at"] - utc_now() < timedelta(hours=12)
    [rule] = list(session(one).rules)
    rules.change(rule, enabled=True)
    thrifty.until(lambda: running() == {one})
    assert sessions.describe(session(one))["hibernation"] == ""


def test_a_session_without_a_rule_sleeps_as_long_as_its_login_allows(thrifty: TermHarness) -> None:
    thrifty.add_node("w1")
    [one] = add("bob", 1)
    thrifty.until(lambda: running() == {one})
    [rule] = list(session(one).rules)
    rules.change(rule, enabled=False)
    thrifty.until(lambda: state(one) == "hibernated")
    for days, slept in ((183, 5.0), (4, 2.0)):
        with transaction():
            hibernation.wake([one], utc_now())
        thrifty.until(lambda: one in running())
        [it] = assignments.active()
        origin = {"node": it.worker, "incarnation": it.incarnation, "session_id": one}
        reports = [LoginLimit(**origin, epoch=it.epoch, days=days)]
        reports.append(LoginLimit(**origin, epoch=it.epoch - 1, days=9))  # outdated
        report_stream.publish(thrifty.redis, reports)
        caught_up(thrifty, one)
        thrifty.until(lambda: state(one) == "hibernated")
        found = sessions.describe(session(one))
        assert found["login_days"] == days
        left = (found["wakes_at"] - utc_now()) / timedelta(days=1)
        assert slept * 0.89 < left <= slept


def test_a_session_that_fell_asleep_although_it_has_a_rule_is_woken_for_good(
    thrifty: TermHarness,
) -> None:
    thrifty.add_node("w1")
    [one] = add("bob", 1)
    with transaction():
        hibernation.begin([(one, session(one).revision, utc_now() + _HOUR)], "no_rule")
    thrifty.until(lambda: running() == {one})
    assert session(one).hibernation == ""
