"""Sessions that hibernate in a cluster of real processes: none is live twice, lost or forgotten."""

from __future__ import annotations

import random
from datetime import datetime
from functools import partial

import pytest
from support.labs import FlowingLab, assert_clean

from afx.lab.cluster import LabCluster
from models.base import transaction, utc_now
from models.storage import controls, hibernation, rules, sessions
from models.storage.control_subjects import SessionSubject
from models.tables import Session, SessionAssignment

pytestmark = pytest.mark.faults
VARIABLES = {"AFX_HIBERNATE_POLL_MINUTES": "0.05", "AFX_HIBERNATE_FRESH_HOURS": "0"}


def all_rows() -> list[Session]:
    return list(Session.select().order_by(Session.id))


def sleep(row: Session) -> None:
    hibernation.request(row, utc_now())


def wake_all(lab: LabCluster) -> None:
    for it in all_rows():
        sessions.set_desired_state(it, "running")
    lab.wait_running()


def test_messages_to_sessions_that_wake_by_schedule_arrive_once(flowing_lab: FlowingLab) -> None:
    lab = flowing_lab(2, 8, posts=0, variables=VARIABLES)
    for it in all_rows():
        sleep(it)
    lab.wait("all are asleep", lambda: lab.running() == 0, 60)
    lab.post(400, 40)
    assert_clean(lab.wait_delivered(90))
    assert all(it.hibernation == "requested" for it in all_rows())
    wake_all(lab)


def test_a_session_without_a_rule_wakes_before_telegram_ends_its_login(
    flowing_lab: FlowingLab,
) -> None:
    often = {"AFX_HIBERNATE_WAKE_DAYS": "0.00003", "AFX_HIBERNATE_FRESH_HOURS": "0"}  # 2.6 s
    lab = flowing_lab(1, 2, posts=0, variables=often)
    it = lab.sessions[0]
    lab.sandbox.call("login_days", account=it.account, days=1)
    [rule] = list(Session.get_by_id(it.id).rules)
    rules.change(rule, enabled=False)
    with transaction():
        revision = Session.get_by_id(it.id).revision
        hibernation.begin([(it.id, revision, utc_now())], "no_rule")
    for _ in range(4):
        lab.sandbox.call("unused", account=it.account, days=0.4)
        has_run = partial(has_run_since, it.id, utc_now())
        lab.wait("it has run, and sleeps again", has_run, 60)
    found = Session.get_by_id(it.id)
    assert (found.login_days, found.trouble, found.hibernation) == (1, "", "no_rule")
    # Without those requests its login would have ended, as this one does.
    lab.sandbox.call("unused", account=it.account, days=1.1)
    lab.wait("its login is lost", lambda: bool(Session.get_by_id(it.id).trouble), 60)


def has_run_since(session: int, at: datetime) -> bool:
    """Whether a session is asleep, and has run since."""
    chosen = (SessionAssignment.session == session) & (SessionAssignment.running_at > at)
    is_asleep = Session.get_by_id(session).desired_state == "hibernated"
    return is_asleep and SessionAssignment.select().where(chosen).exists()


def test_hibernation_that_races_moves_and_changes_of_rules_loses_nothing(
    flowing_lab: FlowingLab,
) -> None:
    chance = random.Random(7)
    lab = flowing_lab(3, 12, posts=1500, rate=60, variables=VARIABLES)
    for _ in range(60):
        row = chance.choice(all_rows())
        act = chance.choice(("sleep", "wake", "move", "rule"))
        if act == "sleep":
            sleep(row)
        elif act == "wake":
            sessions.set_desired_state(row, "running")
        elif act == "move" and not controls.find_open(kind="move", subject=SessionSubject(row.id)):
            controls.request(kind="move", subject=SessionSubject(row.id), actor="test")
        elif act == "rule":
            with transaction():  # as any change of an enabled rule
                rules._revise([row.id])
                hibernation.wake_for_rules([row.id])
        lab.wait("a moment passes", lambda: chance.random() < 0.3, 60)
    assert_clean(lab.wait_delivered(90))
    wake_all(lab)


def test_a_node_that_is_killed_while_its_sessions_hibernate_loses_nothing(
    flowing_lab: FlowingLab,
) -> None:
    lab = flowing_lab(3, 12, posts=1200, rate=60, variables=VARIABLES)
    node = lab.busiest_node()
    for number, row in enumerate(all_rows()):
        sleep(row)
        if number == 6:
            lab.kill_node(node)
    lab.wait("none runs that need not", lambda: lab.running() < 12, 60)
    assert_clean(lab.wait_delivered(120))
    wake_all(lab)
