"""Sessions that hibernate in a cluster of real processes: none is live twice, lost or forgotten."""

from __future__ import annotations

import random

import pytest
from support.labs import FlowingLab, assert_clean

from afx.lab.cluster import LabCluster
from models.base import transaction, utc_now
from models.storage import controls, hibernation, rules, sessions
from models.storage.control_subjects import SessionSubject
from models.tables import Session

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
    lab.wait("all are asleep", lambda: lab.running() == 0, 30)
    lab.post(400, 40)
    assert_clean(lab.wait_delivered(90))
    assert all(it.hibernation == "requested" for it in all_rows())
    wake_all(lab)


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
        lab.wait("a moment passes", lambda: chance.random() < 0.3, 10)
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
    lab.wait("none runs that need not", lambda: lab.running() < 12, 30)
    assert_clean(lab.wait_delivered(120))
    wake_all(lab)
