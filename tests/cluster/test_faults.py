"""Networks that break and processes that die at the worst moment.

The sandbox revokes a key that is live twice, so each verdict shows that too.
Slow ones are marked; ``scripts/test -m faults`` runs them.
"""

from __future__ import annotations

import contextlib
import json
import random
import sqlite3
import subprocess
import sys
import time

import psutil
import pytest
from support.labs import FlowingLab, NewLab, assert_clean, start_flow

from afx.cluster import keys
from afx.lab.accounts import alternate_modes
from afx.lab.cluster import LabCluster
from afx.local import process_tree
from models.storage import assignments, cluster, queue

SLOW = pytest.mark.faults


def owners(lab: LabCluster) -> set[str]:
    return {it.worker for it in assignments.active()}


def suspend_outside_transactions(lab: LabCluster, name: str) -> list[psutil.Process]:
    """Suspend a leader while it holds no lock of SQLite: else no other can lead.

    A process that is suspended within a transaction keeps its lock until it is resumed or
    killed. Postgres ends such a transaction.
    """
    stopped = lab.process_tree(name)
    database_file = lab.log.with_name("afx.db")
    assert database_file.is_file()
    while True:
        process_tree.suspend(stopped)
        try:
            with contextlib.closing(sqlite3.connect(database_file, timeout=2)) as database:
                database.execute("BEGIN IMMEDIATE")
                database.rollback()
        except sqlite3.OperationalError:
            process_tree.resume(stopped)
        else:
            return stopped


@pytest.mark.parametrize("profile", ["fast", pytest.param("safe", marks=SLOW)])
def test_a_node_cut_off_from_redis_alone_is_replaced_while_it_still_reaches_telegram(
    flowing_lab: FlowingLab, profile: str
) -> None:
    """The worst partition: Telegram would accept messages from both owners."""
    lab = flowing_lab(
        3, 18, posts=1600, rate=120, linked=True, variables={"AFX_LEASE_PROFILE": profile}
    )
    node = lab.busiest_node()
    lab.events()
    lab.links[node].cut()
    lab.wait_detected(node)
    lab.wait("others run its sessions", lambda: node not in owners(lab), 60)
    lab.wait_running()
    # What the old incarnation had sent when it was cut off arrives now, too late.
    lab.links[node].mend()
    lab.wait("it is back as a new incarnation", lambda: len(lab.nodes()) == 3, 60)
    verdict = lab.wait_delivered(60)
    assert_clean(verdict)


def test_a_node_cut_off_for_less_than_its_lease_keeps_its_sessions(flowing_lab: FlowingLab) -> None:
    lab = flowing_lab(2, 8, posts=800, rate=100, linked=True)
    before = {it.session: it.epoch for it in assignments.active()}
    for _ in range(2):
        for link in lab.links.values():
            link.cut()
        time.sleep(0.9)
        for link in lab.links.values():
            link.mend()
        time.sleep(1.5)
    verdict = lab.wait_delivered(40)
    assert_clean(verdict)
    assert {it.session: it.epoch for it in assignments.active()} == before


@SLOW
def test_all_nodes_cut_off_at_once_restart_and_lose_nothing(flowing_lab: FlowingLab) -> None:
    lab = flowing_lab(
        3, 18, posts=2000, rate=100, linked=True, variables={"AFX_BRAKE_HOLD_SECONDS": "5"}
    )
    for link in lab.links.values():
        link.cut()
    time.sleep(8)
    for link in lab.links.values():
        link.mend()
    verdict = lab.wait_delivered(120)
    assert_clean(verdict)


@SLOW
def test_a_slow_and_lossy_network_loses_and_doubles_nothing(new_lab: NewLab) -> None:
    """200 ms each way and 5 % of the segments lost, to Redis and to Telegram."""
    lab = new_lab()
    telegram = lab.telegram_link(seed=7)
    lab.add_sessions(12, mode=alternate_modes, over=telegram)
    link, url = lab.redis_link(seed=8)
    lab.processes.start_coordinator(redis_url=url)
    lab.start_linked_nodes(3)
    for it in (link, *lab.links.values(), telegram):
        it.slow(0.2, loss=0.05)
    lab.wait_nodes(3, 60)
    lab.wait_running(seconds=120)
    start_flow(lab, 900, 30)
    lab.wait("a sixth is copied", lambda: lab.judge().delivered > 150, 60)
    lab.kill_node(lab.busiest_node())
    verdict = lab.wait_delivered(180)
    assert_clean(verdict)


@SLOW
def test_nodes_whose_connections_are_reset_again_and_again_lose_nothing(
    flowing_lab: FlowingLab,
) -> None:
    lab = flowing_lab(2, 12, posts=1500, rate=100, linked=True)
    for number in range(30):
        list(lab.links.values())[number % 2].drop()
        time.sleep(0.4)
    verdict = lab.wait_delivered(60)
    assert_clean(verdict)


def test_all_nodes_lost_at_once_are_replaced_by_new_ones(flowing_lab: FlowingLab) -> None:
    lab = flowing_lab(3, 18, posts=900, variables={"AFX_BRAKE_HOLD_SECONDS": "3"})
    for node in lab.processes.nodes():
        lab.processes.kill_tree(node)
    lab.wait("no session is assigned", lambda: not assignments.active(), 60)
    lab.processes.start_nodes(3, first=4)
    verdict = lab.wait_delivered(90)
    assert_clean(verdict)
    lab.wait("the overflow queue is empty", lambda: not queue.count(), 60)


@pytest.mark.parametrize("seed", [1, *(pytest.param(it, marks=SLOW) for it in range(2, 12))])
def test_a_leader_killed_while_it_places_leaves_no_session_behind(
    new_lab: NewLab, seed: int
) -> None:
    """At a random moment of the batch: between SQL, Redis and the orders."""
    lab = new_lab()
    lab.add_sessions(120)
    chance = random.Random(seed)
    lab.processes.start_coordinator()
    lab.processes.start_coordinator("coordinator-2")
    lab.processes.start_nodes(3)
    lab.wait("a batch is under way", lambda: len(assignments.active()) > 0, 60)
    time.sleep(chance.uniform(0, 0.6))
    leader, term = lab.leader(), cluster.term()
    lab.processes.kill_tree(leader)
    lab.wait("the other leads", lambda: cluster.term() > term, 60)
    lab.wait_running(seconds=60)
    start_flow(lab, 240, 200)
    verdict = lab.wait_delivered(40)
    assert_clean(verdict)


@SLOW
def test_a_suspended_leader_changes_nothing_after_it_resumes(
    flowing_lab: FlowingLab,
) -> None:
    lab = flowing_lab(3, 24, posts=3000, rate=120)
    lab.processes.start_coordinator("coordinator-2")
    for _ in range(2):
        leader, term = lab.leader(), cluster.term()
        stopped = suspend_outside_transactions(lab, leader)
        lab.wait("the other leads", lambda term=term: cluster.term() > term, 60)
        lab.kill_node(lab.busiest_node())
        lab.processes.start_node(f"w{3 + term}")
        process_tree.resume(stopped)
        lab.wait_running(seconds=40)
    verdict = lab.wait_delivered(60)
    assert_clean(verdict)
    assert int(lab.redis.get(keys.TERM) or 0) == cluster.term()


@SLOW
@pytest.mark.parametrize("seed", range(1, 4))
def test_whatever_dies_in_a_minute_of_kills_nothing_is_lost(
    flowing_lab: FlowingLab, seed: int
) -> None:
    """Host, supervisor and coordinator, one after another, at random."""
    chance = random.Random(seed)
    lab = flowing_lab(4, 40, posts=6000)
    lab.processes.start_coordinator("coordinator-2")
    for number in range(8):
        what = chance.choice(["host", "node", "leader"])
        if what == "host":
            node = chance.choice([it.name for it in lab.nodes()])
            process_tree.kill(lab.process_tree(node)[1:])
        elif what == "node":
            lab.kill_node(lab.busiest_node())
            lab.processes.start_node(f"n{number}")
        else:
            lab.wait("one leads", lambda: bool(lab.leader()), 60)
            name = lab.leader()
            lab.processes.kill_tree(name)
            lab.processes.start_coordinator(name)
        time.sleep(chance.uniform(1, 5))
    verdict = lab.wait_delivered(90)
    assert_clean(verdict)


@SLOW
@pytest.mark.parametrize("seed", [1, 2])
def test_a_minute_of_soak_is_clean(seed: int) -> None:
    soak = subprocess.run(
        [
            sys.executable,
            "-m",
            "afx.lab.soak",
            "--minutes",
            "1",
            "--seed",
            str(seed),
            "--every",
            "4",
        ],
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    figures = json.loads(soak.stdout)
    assert soak.returncode == 0 and figures["clean"] and figures["faults"] > 5, soak.stderr
