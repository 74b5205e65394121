"""Redis refuses commands, or the whole machine is suspended, while messages flow."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from support.labs import FlowingLab, assert_clean

from afx.lab import redis_troubles
from afx.lab.cluster import LabCluster
from afx.lab.redis_troubles import Undo
from afx.local import process_tree

pytestmark = pytest.mark.faults

FAULTS: dict[str, Callable[[LabCluster], Undo]] = {
    "full": lambda lab: redis_troubles.run_out_of_memory(lab.redis),
    "readonly": lambda lab: redis_troubles.become_replica(lab.redis),
    "denied": lambda lab: redis_troubles.deny_writes(lab.redis),
    "busy": lambda lab: redis_troubles.be_busy(lab.redis, lab.redis_url),
}


@pytest.mark.parametrize("seconds", [2.0, 8.0])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_redis_that_refuses_commands_costs_no_message(
    flowing_lab: FlowingLab, fault: str, seconds: float
) -> None:
    """For less and for more than a lease; the restart of all nodes counts as a loss of most."""
    lab = flowing_lab(2, 8, posts=1200, rate=80, variables={"AFX_BRAKE_HOLD_SECONDS": "3"})
    mend = FAULTS[fault](lab)
    time.sleep(seconds)
    mend()
    assert_clean(lab.wait_delivered(120))


def test_a_suspended_machine_costs_no_message(flowing_lab: FlowingLab) -> None:
    lab = flowing_lab(2, 8, posts=1200, rate=80, variables={"AFX_BRAKE_HOLD_SECONDS": "3"})
    stopped = lab.all_processes()
    process_tree.suspend(stopped)
    time.sleep(8)
    process_tree.resume(stopped)
    assert_clean(lab.wait_delivered(120))
