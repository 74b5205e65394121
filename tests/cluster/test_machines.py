"""Nodes on machines of their own, whose cables are pulled and whose power fails.

What is lost here is lost silently: no reset tells Telegram that a connection is
gone, and no process can witness the death of another machine.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from support.labs import NewLab, assert_clean, start_flow
from support.machines import Machine, Machines

from afx.lab.accounts import alternate_modes
from afx.lab.cluster import LabCluster
from afx.local.processes import node_names
from models.storage import assignments

SLOW = pytest.mark.faults


@pytest.fixture
def machines() -> Iterator[Machines]:
    if not Machines.possible():
        pytest.skip("needs root and iproute2")
    made = Machines()
    yield made
    made.close()


@dataclass(slots=True, frozen=True)
class Remote:
    """A running cluster whose nodes each have a machine of their own."""

    machines: dict[str, Machine]
    url: str
    """Of Redis, as the machines reach it."""

    def start_node(self, lab: LabCluster, name: str) -> None:
        lab.processes.start_node(name, redis_url=self.url, enter=self.machines[name].enter)


def start_on(lab: LabCluster, machines: Machines, nodes: int, sessions: int) -> Remote:
    """Start nodes, each on its own machine, and all sessions."""
    telegram = lab.telegram_link(host=machines.address("telegram"))
    _, url = lab.redis_link(host=machines.address("redis"))
    lab.add_sessions(sessions, mode=alternate_modes, over=telegram)
    lab.processes.start_coordinator()
    remote = Remote({name: machines.add() for name in node_names(nodes)}, url)
    for name in remote.machines:
        remote.start_node(lab, name)
    lab.wait_nodes(nodes, 90)
    return remote


@pytest.fixture
def new_remote_lab(new_lab: NewLab, machines: Machines) -> Iterator[NewLab]:
    opened: list[LabCluster] = []

    def make(**variables: str) -> LabCluster:
        # Telegram is not on the nodes' own machine, so they need an API id, and its address
        # has to be allowed.
        own = {
            "AFX_API_ID": "1",
            "AFX_API_HASH": "sandbox",
            "AFX_TEST_NETWORKS": f"127.0.0.0/8,{machines.address('telegram')}/32",
        }
        opened.append(new_lab(variables={**own, **variables}))
        return opened[-1]

    yield make
    for lab in opened:
        lab.processes.stop()  # before the machines go


@pytest.mark.parametrize("profile", ["fast", pytest.param("safe", marks=SLOW)])
def test_a_machine_cut_off_from_redis_alone_is_replaced_while_it_reaches_telegram(
    new_remote_lab: NewLab, machines: Machines, profile: str
) -> None:
    lab = new_remote_lab(AFX_LEASE_PROFILE=profile)
    remote = start_on(lab, machines, 3, 18)
    start_flow(lab, 1600, 120)
    node = lab.busiest_node()
    lab.events()
    remote.machines[node].unplug("redis")
    lab.wait_detected(node)
    lab.wait("others run its sessions", lambda: node not in _owners(), 60)
    lab.wait_running()
    remote.machines[node].plug_in("redis")
    lab.wait("it is back as a new incarnation", lambda: len(lab.nodes()) == 3, 60)
    verdict = lab.wait_delivered(60)
    assert_clean(verdict)


def test_a_machine_whose_power_fails_is_replaced_while_its_connections_stay_open(
    new_remote_lab: NewLab, machines: Machines
) -> None:
    """They stay open at Telegram's end, beside those of the node that takes over."""
    lab = new_remote_lab()
    remote = start_on(lab, machines, 3, 18)
    start_flow(lab, 1200, 120)
    node = lab.busiest_node()
    lab.events()
    remote.machines[node].unplug()
    lab.processes.kill_tree(node)
    lab.wait_detected(node)
    lab.wait_running()
    verdict = lab.wait_delivered(60)
    assert_clean(verdict)


def test_a_machine_that_comes_back_from_a_partition_restarts(
    new_remote_lab: NewLab, machines: Machines
) -> None:
    """What it had written before its cables were pulled must not arrive later."""
    lab = new_remote_lab()
    remote = start_on(lab, machines, 2, 12)
    start_flow(lab, 1500, 150)
    node = lab.busiest_node()
    before = {it.incarnation for it in lab.nodes()}
    lab.events()
    remote.machines[node].unplug()
    lab.wait_detected(node)
    remote.machines[node].plug_in()
    lab.wait(
        "it is back", lambda: len(lab.nodes()) == 2 and _incarnation(lab, node) not in before, 40
    )
    verdict = lab.wait_delivered(60)
    assert_clean(verdict)


@SLOW
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_eight_machines_lose_cables_and_power_for_two_minutes(
    new_remote_lab: NewLab, machines: Machines, seed: int
) -> None:
    lab = new_remote_lab(AFX_BRAKE_HOLD_SECONDS="3")
    chance = random.Random(seed)
    remote = start_on(lab, machines, 8, 48)
    start_flow(lab, 12_000, 100)
    until = time.monotonic() + 110
    while time.monotonic() < until:
        node = chance.choice(list(remote.machines))
        what = chance.choice(["redis", "telegram", "both", "power"])
        cables = ("redis", "telegram") if what in ("both", "power") else (what,)
        remote.machines[node].unplug(*cables)
        if what == "power" and node in lab.processes.children:
            lab.processes.kill_tree(node)
        time.sleep(chance.uniform(0.2, 8))
        remote.machines[node].plug_in(*cables)
        if node not in lab.processes.children:
            remote.start_node(lab, node)
        time.sleep(chance.uniform(0, 3))
    verdict = lab.wait_delivered(120)
    assert_clean(verdict)


def _owners() -> set[str]:
    return {it.worker for it in assignments.active()}


def _incarnation(lab: LabCluster, node: str) -> str:
    return next((it.incarnation for it in lab.nodes() if it.name == node), "")
