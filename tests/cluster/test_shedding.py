"""A node that is short of RAM moves sessions away, and is killed meanwhile."""

from __future__ import annotations

import pytest
from support.labs import NewLab, assert_clean, start_flow

from afx.local.processes import LocalProcesses
from models.storage import assignments

pytestmark = pytest.mark.faults
SESSIONS = 40


def owned(node: str) -> int:
    return sum(it.worker == node and it.state == "running" for it in assignments.active())


def test_a_node_that_is_killed_while_it_sheds_loses_nothing(new_lab: NewLab) -> None:
    lab = new_lab(
        {
            "AFX_RAM_HEADROOM_MIB": "50",
            "AFX_STARTS_PER_SECOND": "2",
            "AFX_START_BURST": "2",
            "AFX_REBALANCE_SECONDS": "0",
        }
    )
    lab.processes.start_coordinator("first")
    lab.processes.start_node("w1", "--ram-limit-mib", "450")
    lab.wait_nodes(1)
    lab.add_sessions(SESSIONS)
    lab.wait_running()
    # For the next leader w1 has used up its headroom, and w2 is empty.
    lab.processes.kill("first")
    strict = LocalProcesses(
        lab.settings,
        lab.redis_url,
        log=lab.log,
        variables={
            "AFX_RAM_HEADROOM_MIB": "440",
            "AFX_STARTS_PER_SECOND": "2",
            "AFX_START_BURST": "2",
            "AFX_REBALANCE_SECONDS": "0",
        },
    )
    try:
        strict.start_coordinator("second")
        lab.processes.start_node("w2", "--ram-limit-mib", "4000")
        lab.wait_nodes(2)
        start_flow(lab, 3000, 30)
        lab.wait("some have moved", lambda: owned("w2") >= 3, 180)
        assert owned("w1") > 0
        lab.kill_node("w1")
        lab.wait("w2 runs all", lambda: owned("w2") == SESSIONS, 180)
        assert_clean(lab.wait_delivered(180))
    finally:
        strict.stop()
