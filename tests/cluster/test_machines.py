"""Nodes on machines of their own, whose cables are pulled and whose power fails.

What is lost here is lost without a word: no reset tells Telegram that a
connection is gone, and no process can witness another machine's death.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest
from support.labs import NewLab, assert_clean
from support.machines import Machine, Machines

from afx.lab.cluster import LabCluster
from models.storage import assignments

SLOW = pytest.mark.faults


@pytest.fixture
def machines() -> Iterator[Machines]:
    if not Machines.possible():
        pytest.skip("needs root and iproute2")
    held = Machines()
    yield held
    held.close()


def start_on(lab: LabCluster, machines: Machines, nodes: int, count: int) -> dict[str, Machine]:
    """Start nodes, each on its own machine, and all sessions."""
    telegram = lab.telegram_link(host=machines.address("telegram"))
    _, url = lab.redis_link(host=machines.address("redis"))
    lab.add_sessions(count, mode=lambda it: "forward" if it % 2 else "copy", over=telegram)
    lab.processes.start_coordinator()
    made = {}
    for name in (f"w{number}" for number in range(1, nodes + 1)):
        made[name] = machines.add()
        lab.processes.start_node(name, redis_url=url, enter=made[name].enter)
    lab.wait_nodes(nodes, 90)
    lab.wait_running()
    lab.expect_copies()
    return made


@pytest.fixture
def new_remote_lab(new_lab: NewLab, machines: Machines) -> Iterator[NewLab]:
    opened: list[LabCluster] = []

    def make(**variables: str) -> LabCluster:
        # Telegram is not on the nodes' own machine, so they need an API id.
        opened.append(
            new_lab(variables={"AFX_API_ID": "1", "AFX_API_HASH": "sandbox", **variables})
        )
        return opened[-1]

    yield make
    for lab in opened:
        lab.processes.stop()  # before the machines go


@pytest.mark.parametrize("profile", ["fast", pytest.param("safe", marks=SLOW)])
def test_a_machine_cut_off_from_redis_alone_is_replaced_while_it_reaches_telegram(
    new_remote_lab: NewLab, machines: Machines, profile: str
) -> None:
    lab = new_remote_lab(AFX_LEASE_PROFILE=profile)
    made = start_on(lab, machines, 3, 18)
    lab.post(1600, 120)
    node = lab.busiest_node()
    lab.events()
    made[node].unplug("redis")
    lab.wait_detected(node, 30)
    lab.wait("others run its sessions", lambda: node not in _owners(), 30)
    lab.wait_running()
    made[node].plug_in("redis")
    lab.wait("it is back as a new incarnation", lambda: len(lab.nodes()) == 3, 40)
    verdict = lab.wait_delivered(60)
    assert_clean(verdict)


def test_a_machine_whose_power_fails_is_replaced_though_telegram_hears_nothing_of_it(
    new_remote_lab: NewLab, machines: Machines
) -> None:
    """Its connections stay open at Telegram's end, beside those of its successor."""
    lab = new_remote_lab()
    made = start_on(lab, machines, 3, 18)
    lab.post(1200, 120)
    time.sleep(1)
    node = lab.busiest_node()
    lab.events()
    made[node].unplug()
    lab.processes.kill_tree(node)
    lab.wait_detected(node, 30)
    lab.wait_running()
    verdict = lab.wait_delivered(60)
    assert_clean(verdict)


def test_a_machine_that_comes_back_from_a_partition_begins_anew(
    new_remote_lab: NewLab, machines: Machines
) -> None:
    """What it had written before its cables were pulled must not arrive after all."""
    lab = new_remote_lab()
    made = start_on(lab, machines, 2, 12)
    lab.post(1500, 150)
    node = lab.busiest_node()
    before = {it.incarnation for it in lab.nodes()}
    lab.events()
    made[node].unplug()
    lab.wait_detected(node, 30)
    made[node].plug_in()
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
    made = start_on(lab, machines, 8, 48)
    lab.post(12_000, 100)
    until = time.monotonic() + 110
    while time.monotonic() < until:
        node = chance.choice(list(made))
        what = chance.choice(["redis", "telegram", "both", "power"])
        cables = ("redis", "telegram") if what in ("both", "power") else (what,)
        made[node].unplug(*cables)
        if what == "power" and node in lab.processes.children:
            lab.processes.kill_tree(node)
        time.sleep(chance.uniform(0.2, 8))
        made[node].plug_in(*cables)
        if node not in lab.processes.children:
            _, url = lab.redis_link(host=machines.address("redis"))
            lab.processes.start_node(node, redis_url=url, enter=made[node].enter)
        time.sleep(chance.uniform(0, 3))
    verdict = lab.wait_delivered(120)
    assert_clean(verdict)


def _owners() -> set[str]:
    return {it.worker for it in assignments.active()}


def _incarnation(lab: LabCluster, node: str) -> str:
    return next((it.incarnation for it in lab.nodes() if it.name == node), "")
