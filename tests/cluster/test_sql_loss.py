"""SQL that has lost its last commits, as after a power cut: no account is live twice."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from support.labs import FlowingLab, assert_clean

from afx.app import context_for
from afx.cluster import keys
from afx.lab.cluster import LabCluster
from afx.operations import workers as node_operations
from models import base
from models.storage import assignments, controls
from models.tables import SessionAssignment

LOST = 6


def epochs() -> dict[int, int]:
    return {it.session: it.epoch for it in assignments.active()}


def lose_last_assignments() -> set[int]:
    """Delete the newest assignments, as if they had never been committed; returns the sessions."""
    newest = sorted(assignments.active(), key=lambda it: it.epoch)[-LOST:]
    lost = {it.session for it in newest}
    deleted = SessionAssignment.delete().where(
        SessionAssignment.session.in_(lost) & SessionAssignment.ended_at.is_null()
    )
    assert deleted.execute() == LOST
    return lost


def kill_leader(lab: LabCluster) -> None:
    lab.processes.kill_tree(lab.leader())


def run_again(lab: LabCluster, before: dict[int, int], lost: set[int]) -> Callable[[], bool]:
    """A condition: the lost sessions run, under newer epochs than before."""

    def condition() -> bool:
        now = epochs()
        return lab.running() == len(before) and all(now[it] > before[it] for it in lost)

    return condition


@pytest.mark.parametrize("standby", [False, True], ids=["leader restarts", "standby takes over"])
def test_sessions_whose_assignments_sql_has_lost_are_stopped_before_they_are_placed(
    flowing_lab: FlowingLab, standby: bool
) -> None:
    lab = flowing_lab(3, 18, posts=900)
    if standby:
        lab.processes.start_coordinator("second")
        lab.wait("it stands by", lambda: "standing_by" in lab.log.read_text(), 60)
    before = epochs()
    kill_leader(lab)
    lost = lose_last_assignments()
    if not standby:
        lab.processes.start_coordinator()
    lab.wait("the lost sessions run again", run_again(lab, before, lost), 60)
    verdict = lab.wait_delivered(60)
    assert_clean(verdict)
    now = epochs()
    assert {it: now[it] for it in now if it not in lost} == {
        it: before[it] for it in before if it not in lost
    }, "sessions that SQL knows stay where they are"


def test_sessions_that_neither_sql_nor_redis_knows_are_found_on_their_nodes(
    flowing_lab: FlowingLab,
) -> None:
    """Both have lost their last commits, as when one machine has both."""
    lab = flowing_lab(3, 18, posts=900)
    before = epochs()
    kill_leader(lab)
    lost = lose_last_assignments()
    lab.redis.delete(*(keys.assignment(it) for it in lost))
    lab.processes.start_coordinator()
    lab.wait("the lost sessions run again", run_again(lab, before, lost), 60)
    verdict = lab.wait_delivered(60)
    assert_clean(verdict)


def roll_back(database: Path, earlier: Path) -> None:
    """Put an earlier state of a SQLite file in place of the present one."""
    for suffix in ("-wal", "-shm"):
        database.with_name(database.name + suffix).unlink(missing_ok=True)
    shutil.copyfile(earlier, database)


def test_a_database_that_is_rolled_back_to_before_sessions_moved(flowing_lab: FlowingLab) -> None:
    """SQL says that they are on the node that they have left, under their old epochs."""
    lab = flowing_lab(2, 12, posts=1500, rate=100)
    database = lab.settings.home / "afx.db"
    earlier = lab.settings.home / "earlier.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("VACUUM INTO ?", (str(earlier),))
    before = epochs()
    node = lab.busiest_node()
    moved = {it.id for it in lab.owned_by(node)}
    [drain] = node_operations.drain(context_for(lab.settings, "test"), [node])
    lab.wait("it is empty", lambda: controls.get(drain.control or 0)["state"] == "done", 60)
    kill_leader(lab)
    url = lab.settings.database
    base.close_database()
    roll_back(database, earlier)
    base.open_database(url)
    assert epochs() == before
    lab.processes.start_coordinator()
    lab.wait("the moved sessions run again", run_again(lab, before, moved), 60)
    verdict = lab.wait_delivered(60)
    assert_clean(verdict)
