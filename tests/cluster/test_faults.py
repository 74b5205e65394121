"""Networks that break and processes that die at the worst moment.

The sandbox revokes a key that is live twice, so each test's verdict says it all.
Slow ones are marked; ``scripts/test -m faults`` runs them.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
from support.labs import NewLab, assert_clean, start, start_linked, tree_of

from afx.cluster import keys
from afx.lab.cluster import LabCluster
from models.storage import assignments, cluster, queue

SLOW = pytest.mark.faults


def owners(lab: LabCluster) -> set[str]:
    return {it.worker for it in assignments.active()}


@pytest.mark.parametrize("profile", ["fast", pytest.param("safe", marks=SLOW)])
def test_a_node_cut_off_from_redis_alone_is_replaced_while_it_still_reaches_telegram(
    new_lab: NewLab, profile: str
) -> None:
    """The worst partition: Telegram would take messages from both owners."""
    lab = new_lab(variables={"AFX_LEASE_PROFILE": profile})
    links = start_linked(lab, 3, 18)
    lab.post(1600, 120)
    node = lab.busiest_node()
    lab.events()
    links[node].cut()
    lab.wait_detected(node, 30)
    lab.wait("others run its sessions", lambda: node not in owners(lab), 30)
    lab.wait_running()
    # What the old incarnation had sent when it was cut off arrives now, too late.
    links[node].mend()
    lab.wait("it is back as a new incarnation", lambda: len(lab.nodes()) == 3, 30)
    verdict = lab.wait_delivered(60)
    assert_clean(verdict)


def test_a_node_cut_off_for_less_than_its_lease_keeps_its_sessions(new_lab: NewLab) -> None:
    lab = new_lab()
    links = start_linked(lab, 2, 8)
    before = {it.session: it.epoch for it in assignments.active()}
    lab.post(800, 100)
    for _ in range(2):
        for link in links.values():
            link.cut()
        time.sleep(0.9)
        for link in links.values():
            link.mend()
        time.sleep(1.5)
    verdict = lab.wait_delivered(40)
    assert_clean(verdict)
    assert {it.session: it.epoch for it in assignments.active()} == before


@SLOW
def test_all_nodes_cut_off_at_once_begin_again_and_lose_nothing(new_lab: NewLab) -> None:
    lab = new_lab(variables={"AFX_BRAKE_HOLD_SECONDS": "5"})
    links = start_linked(lab, 3, 18)
    lab.post(2000, 100)
    for link in links.values():
        link.cut()
    time.sleep(8)
    for link in links.values():
        link.mend()
    verdict = lab.wait_delivered(120)
    assert_clean(verdict)


@SLOW
def test_a_slow_and_lossy_network_costs_time_and_nothing_else(new_lab: NewLab) -> None:
    """200 ms each way and 5 % of the segments lost, to Redis and to Telegram."""
    lab = new_lab()
    telegram = lab.telegram_link(seed=7)
    lab.add_sessions(12, mode=lambda it: "forward" if it % 2 else "copy", over=telegram)
    links = []
    for name in ("coordinator", "w1", "w2", "w3"):
        link, url = lab.redis_link(seed=len(links))
        links.append(link)
        if name == "coordinator":
            lab.processes.start_coordinator(redis_url=url)
        else:
            lab.processes.start_node(name, redis_url=url)
    for link in (*links, telegram):
        link.slow(0.2, loss=0.05)
    lab.wait_nodes(3, 60)
    lab.wait_running(seconds=120)
    lab.expect_copies()
    lab.post(900, 30)
    time.sleep(5)
    lab.kill_node(lab.busiest_node())
    verdict = lab.wait_delivered(180)
    assert_clean(verdict)


@SLOW
def test_nodes_whose_connections_are_reset_again_and_again_lose_nothing(new_lab: NewLab) -> None:
    lab = new_lab()
    links = start_linked(lab, 2, 12)
    lab.post(1500, 100)
    for number in range(30):
        list(links.values())[number % 2].drop()
        time.sleep(0.4)
    verdict = lab.wait_delivered(60)
    assert_clean(verdict)


def test_all_nodes_lost_at_once_are_replaced_by_new_ones(new_lab: NewLab) -> None:
    lab = new_lab(variables={"AFX_BRAKE_HOLD_SECONDS": "3"})
    start(lab, 3, 18)
    lab.wait_running()
    lab.expect_copies()
    lab.post(900, 150)
    time.sleep(1)
    for node in list(lab.processes.children):
        if node != "coordinator":
            lab.processes.kill_tree(node)
    lab.wait("nobody runs anything", lambda: not assignments.active(), 20)
    for number in range(4, 7):
        lab.processes.start_node(f"w{number}")
    verdict = lab.wait_delivered(90)
    assert_clean(verdict)
    lab.wait("nobody waits any more", lambda: not queue.count(), 20)


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
    for number in (1, 2, 3):
        lab.processes.start_node(f"w{number}")
    lab.wait("a batch is under way", lambda: len(assignments.active()) > 0, 30)
    time.sleep(chance.uniform(0, 0.6))
    leader, term = lab.leader(), cluster.term()
    lab.processes.kill_tree(leader)
    lab.wait("the other leads", lambda: cluster.term() > term, 20)
    lab.wait_running(seconds=60)
    lab.expect_copies()
    lab.post(240, 200)
    verdict = lab.wait_delivered(40)
    assert_clean(verdict)


@SLOW
def test_a_leader_that_was_stopped_and_wakes_changes_nothing_any_more(new_lab: NewLab) -> None:
    lab = new_lab()
    start(lab, 3, 24)
    lab.wait_running()
    lab.processes.start_coordinator("coordinator-2")
    lab.expect_copies()
    lab.post(3000, 120)
    for _ in range(2):
        leader, term = lab.leader(), cluster.term()
        stopped = tree_of(lab, leader)
        for it in stopped:
            it.send_signal(signal.SIGSTOP)
        lab.wait("the other leads", lambda term=term: cluster.term() > term, 20)
        lab.kill_node(lab.busiest_node())
        lab.processes.start_node(f"w{3 + term}")
        for it in stopped:
            it.send_signal(signal.SIGCONT)
        lab.wait_running(seconds=40)
    verdict = lab.wait_delivered(60)
    assert_clean(verdict)
    assert int(lab.redis.get(keys.TERM) or 0) == cluster.term()


@SLOW
@pytest.mark.parametrize("seed", range(1, 4))
def test_whatever_dies_in_a_minute_of_kills_nothing_is_lost(new_lab: NewLab, seed: int) -> None:
    """Host, supervisor and coordinator, one after another, at random."""
    lab = new_lab()
    chance = random.Random(seed)
    start(lab, 4, 40)
    lab.wait_running()
    lab.processes.start_coordinator("coordinator-2")
    lab.expect_copies()
    lab.post(6000, 150)
    for number in range(8):
        what = chance.choice(["host", "node", "leader"])
        if what == "host":
            node = chance.choice([it.name for it in lab.nodes()])
            for it in tree_of(lab, node)[1:]:
                os.kill(it.pid, signal.SIGKILL)
        elif what == "node":
            lab.kill_node(lab.busiest_node())
            lab.processes.start_node(f"n{number}")
        else:
            lab.wait("one leads", lambda: bool(lab.leader()), 10)
            name = lab.leader()
            lab.processes.kill_tree(name)
            lab.processes.start_coordinator(name)
        time.sleep(chance.uniform(1, 5))
    verdict = lab.wait_delivered(90)
    assert_clean(verdict)


@SLOW
@pytest.mark.parametrize("seed", [1, 2])
def test_a_minute_of_soak_is_clean(seed: int) -> None:
    said = subprocess.run(
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
    figures = json.loads(said.stdout)
    assert said.returncode == 0 and figures["clean"] and figures["faults"] > 5, said.stderr
