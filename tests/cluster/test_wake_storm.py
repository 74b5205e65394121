"""5,000 sessions are due at once: all wake, forward what they have missed, and sleep again."""

from __future__ import annotations

import pytest
from support.labs import NewLab, assert_clean

from afx.lab.wake_storm import wake_storm

pytestmark = pytest.mark.faults
FREE, PREMIUM, NODES = 4500, 500, 2
RATE, BURST = 50, 60
SECONDS = 900.0


def test_a_storm_of_wakes_forwards_all_in_order_of_tiers_and_forgets_none(new_lab: NewLab) -> None:
    lab = new_lab(
        {
            "AFX_STARTS_PER_SECOND": str(RATE),
            "AFX_START_BURST": str(BURST),
            "AFX_HIBERNATE_FRESH_HOURS": "0",
            "AFX_MAX_SESSIONS": str(FREE + PREMIUM),
        }
    )
    lab.processes.start_coordinator()
    lab.processes.start_nodes(NODES)
    lab.wait_nodes(NODES)
    lab.add_sessions(FREE)
    lab.add_sessions(PREMIUM, tier="premium")
    lab.wait_running(seconds=SECONDS)
    lab.events()
    storm = wake_storm(lab, seconds=SECONDS)
    assert_clean(storm.verdict)
    assert storm.verdict.delivered == storm.sessions == FREE + PREMIUM
    assert storm.forgotten == 0
    if storm.terms or any(it["kind"] == "node_down" for it in lab.events()):
        return  # a busy machine has lost nodes, or the leader: what they had started again
    # A tick may give the tokens of its own time, too.
    assert storm.most_starts(1.0) <= NODES * (RATE + BURST) * 1.2
    # A tenth of the grants goes to free users' sessions while they wait.
    assert storm.last_start(premium=True) <= 2 * PREMIUM
