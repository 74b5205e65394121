"""A host process is replaced in place while messages flow, and what runs is killed meanwhile."""

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

SESSIONS = 60


@pytest.fixture
def lab(new_lab: NewLab) -> LabCluster:
    """One node alone, of whose sessions only a few move at a time."""
    made = new_lab({"AFX_STARTS_PER_SECOND": "10", "AFX_START_BURST": "10"})
    made.processes.start_coordinator()
    made.processes.start_nodes(1)
    made.wait_nodes(1)
    made.add_sessions(SESSIONS, mode=alternate_modes)
    start_flow(made, 1200, 60)
    made.wait("SQL knows it", lambda: bool(stored_workers.listing().rows), 60)
    return made


def host_of(lab: LabCluster, process: str) -> int:
    """Return the pid of a process's host: it is the second one in the process's record."""
    [view] = [it for it in lab.nodes() if it.name == process]
    return int(view.processes.split(",")[1].partition(":")[0])


def owners() -> set[str]:
    return {it.worker for it in assignments.active()}


def begin(lab: LabCluster) -> int:
    control = workers.recycle(context_for(lab.settings, "test"), "w1", in_place=True).control
    assert control is not None
    lab.wait("some have moved", lambda: owners() == {"w1", "w1.2"}, 60)
    return control


def finish(lab: LabCluster, control: int, process: str) -> None:
    lab.wait("it is replaced", lambda: controls.get(control)["state"] == "done", 120)
    lab.wait("one process runs all", lambda: owners() == {process}, 60)
    lab.wait_running(seconds=90)
    assert_clean(lab.wait_delivered(90))
    lab.wait("one is left", lambda: [it.name for it in lab.nodes()] == [process], 60)


def test_a_host_is_replaced_in_place_again_and_again(lab: LabCluster) -> None:
    supervisor = lab.process_tree("w1")[0].pid
    old = psutil.Process(host_of(lab, "w1"))
    control = begin(lab)
    finish(lab, control, "w1.2")
    assert not old.is_running()
    again = workers.recycle(context_for(lab.settings, "test"), "w1", in_place=True).control
    assert again is not None
    finish(lab, again, "w1")
    assert lab.process_tree("w1")[0].pid == supervisor


def test_the_old_host_is_killed_while_it_is_replaced(lab: LabCluster) -> None:
    control = begin(lab)
    os.kill(host_of(lab, "w1"), signal.SIGKILL)
    finish(lab, control, "w1.2")


def test_the_new_host_is_killed_while_it_takes_over(lab: LabCluster) -> None:
    control = begin(lab)
    killed = host_of(lab, "w1.2")
    os.kill(killed, signal.SIGKILL)
    finish(lab, control, "w1.2")
    assert host_of(lab, "w1.2") != killed
