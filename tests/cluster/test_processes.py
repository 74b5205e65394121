"""Nodes with several host processes: what dies costs no more than its own sessions."""

from __future__ import annotations

import os
import signal

import psutil
import pytest
from support.labs import NewLab, assert_clean, start_flow

from afx.app import context_for
from afx.lab.accounts import alternate_modes
from afx.lab.cluster import LabCluster
from afx.operations import workers
from models.storage import assignments, controls
from models.storage import workers as stored_workers

pytestmark = pytest.mark.faults


@pytest.fixture
def lab(new_lab: NewLab) -> LabCluster:
    """A node with two processes, of which one alone has no room for all; a flow over both."""
    made = new_lab()
    made.processes.start_coordinator()
    made.processes.start_nodes(1, "--processes", "2", "--max-sessions", "16")
    made.wait_nodes(2)
    made.add_sessions(12, mode=alternate_modes)
    made.wait_running()
    start_flow(made, 900, 60)
    return made


def host_of(lab: LabCluster, process: str) -> int:
    """Return the pid of a process's host: it is the second one in the process's record."""
    [view] = [it for it in lab.nodes() if it.name == process]
    return int(view.processes.split(",")[1].partition(":")[0])


def epochs(process: str) -> dict[int, int]:
    return {it.session: it.epoch for it in assignments.active() if it.worker == process}


def test_a_host_that_is_killed_costs_its_own_sessions_only(lab: LabCluster) -> None:
    kept, lost = epochs("w1"), epochs("w1.2")
    assert kept and lost
    supervisor = lab.process_tree("w1")[0].pid
    killed = host_of(lab, "w1.2")
    other = host_of(lab, "w1")
    os.kill(killed, signal.SIGKILL)
    lab.wait("its sessions have begun again", lambda: not set(lost.items()) & active(), 60)
    lab.wait_running(seconds=60)
    assert_clean(lab.wait_delivered(60))
    assert set(kept.items()) <= active()
    lab.wait("it has a new host", lambda: len(lab.nodes()) == 2, 60)
    assert (lab.process_tree("w1")[0].pid, host_of(lab, "w1")) == (supervisor, other)
    assert host_of(lab, "w1.2") != killed


def active() -> set[tuple[int, int]]:
    return {(it.session, it.epoch) for it in assignments.active()}


def test_no_host_outlives_the_supervisor_of_both(lab: LabCluster) -> None:
    hosts = [psutil.Process(host_of(lab, it)) for it in ("w1", "w1.2")]
    lab.processes.start_node("w2")
    lab.wait_nodes(3)
    lab.processes.kill("w1")
    lab.wait("the other node runs all", lambda: len(epochs("w2")) == 12, 60)
    assert not any(it.is_running() for it in hosts)
    lab.wait_running(seconds=60)
    assert_clean(lab.wait_delivered(60))


def test_a_node_that_is_recycled_restarts_with_all_its_processes(lab: LabCluster) -> None:
    before = {it.incarnation for it in lab.nodes()}
    hosts = [psutil.Process(host_of(lab, it)) for it in ("w1", "w1.2")]
    supervisor = lab.process_tree("w1")[0].pid
    lab.processes.start_node("w2")
    lab.wait_nodes(3)
    lab.wait("SQL knows them", lambda: len(stored_workers.listing().rows) == 3, 60)
    control = workers.recycle(context_for(lab.settings, "test"), "w1").control
    assert control is not None
    lab.wait("it is recycled", lambda: controls.get(control)["state"] == "done", 120)
    lab.wait_nodes(3)
    assert not before & {it.incarnation for it in lab.nodes() if it.node == "w1"}
    assert not any(it.is_running() for it in hosts)
    assert lab.process_tree("w1")[0].pid == supervisor
    lab.wait_running(seconds=60)
    assert_clean(lab.wait_delivered(60))
