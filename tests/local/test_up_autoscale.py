"""`afx up --autoscale` with real processes and sessions: out, in, and killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from support.cli_runs import complains, runner

from afx.lab.cluster import LabCluster, temporary_settings
from models.storage import scaling, sessions

SETTINGS = {
    "AFX_MAX_SESSIONS": "5",
    "AFX_TEST_NETWORKS": "127.0.0.0/8",
    "AFX_SCALE_IN_MINUTES": "0.1",
    "AFX_SCALE_SPARE_NODES": "0",
    "AFX_WEB_PORT": "0",
}


@pytest.fixture
def lab(home: Path) -> Iterator[LabCluster]:
    with LabCluster(temporary_settings(home)) as lab:
        yield lab


@contextlib.contextmanager
def up(lab: LabCluster, limits: str) -> Iterator[subprocess.Popen[bytes]]:
    home = lab.settings.home
    environment = {k: v for k, v in os.environ.items() if not k.startswith("AFX_")}
    with (home / "cluster.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "cli.main", "up", "--autoscale", limits],
            env=environment | SETTINGS | {"AFX_HOME": str(home)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        lab.wait("a node is ready", lambda: "ready" in {it.state for it in lab.nodes()}, 90)
        yield process
    finally:
        process.terminate()
        process.wait(60)


def test_sessions_without_room_get_a_node_and_run(lab: LabCluster) -> None:
    with up(lab, "1:2"):
        lab.add_sessions(8)
        lab.wait_running(8)
        assert {it.name for it in lab.nodes()} == {"w1", "auto1"}
        assert "out" in {it["decision"] for it in scaling.listing().rows}


@pytest.mark.faults
def test_nodes_that_are_not_needed_are_drained_and_removed_and_none_outlives_a_kill(
    lab: LabCluster,
) -> None:
    with up(lab, "1:3") as process:
        lab.add_sessions(12)
        lab.wait_running(12)
        assert len(lab.nodes()) == 3
        for it in lab.sessions[3:]:
            sessions.set_desired_state(sessions.find(it.name), "paused")
        lab.wait("one node is left", lambda: [it.name for it in lab.registry.all()] == ["w1"], 120)
        lab.wait("its sessions run", lambda: lab.running() == 3, 60)
        for it in lab.sessions[3:]:
            sessions.set_desired_state(sessions.find(it.name), "running")
        lab.wait_running(12)
        below = psutil.Process(process.pid).children(recursive=True)
        os.kill(process.pid, signal.SIGKILL)
        _, alive = psutil.wait_procs(below, timeout=60)
        assert [it for it in alive if it.status() != psutil.STATUS_ZOMBIE] == []
    with up(lab, "1:3"):
        lab.wait_running(12)
        until = time.monotonic() + 3
        while time.monotonic() < until:
            assert len(lab.nodes()) <= 3
            time.sleep(0.2)


@pytest.mark.parametrize("limits", ["2", "0:3", "3:2"])
def test_wrong_limits_are_refused(home: Path, limits: str) -> None:
    complains(runner(home)("up", "--autoscale", limits), 2, "MIN:MAX")


def test_workers_and_autoscale_exclude_each_other(home: Path) -> None:
    done = runner(home)("up", "--autoscale", "1:2", "--workers", "2")
    complains(done, 2, "leave --workers out")
