"""How a soak counts the time without a leader."""

from __future__ import annotations

import os
import subprocess
import sys

import psutil

from afx.cluster.leadership import LeaderRecord
from afx.lab.control_plane import ControlPlaneWatch, bound_seconds, leads, works
from afx.lab.waiting import wait_until
from afx.lease import PROFILES


def test_an_outage_lasts_until_a_coordinator_leads_again() -> None:
    watch = ControlPlaneWatch(10.0)
    for now in (1.0, 2.0, 4.5):
        watch.note(now, leads=False, can_lead=True)
    watch.note(5.0, leads=True, can_lead=True)
    assert watch.figures().outages == 1
    assert watch.figures().longest_seconds == 3.5
    assert watch.figures().is_within_bound


def test_time_in_which_none_could_lead_does_not_count() -> None:
    watch = ControlPlaneWatch(2.0)
    watch.note(1.0, leads=False, can_lead=True)
    watch.note(2.0, leads=False, can_lead=False)
    watch.note(30.0, leads=False, can_lead=False)
    watch.note(31.0, leads=False, can_lead=True)
    watch.note(32.0, leads=True, can_lead=True)
    assert watch.figures().longest_seconds == 0.0


def test_an_outage_that_goes_on_for_too_long_is_out_of_bound() -> None:
    watch = ControlPlaneWatch(bound_seconds(PROFILES["fast"]))
    watch.note(0.0, leads=False, can_lead=True)
    watch.note(11.0, leads=False, can_lead=True)
    assert watch.figures().is_within_bound
    watch.note(12.0, leads=False, can_lead=True)
    assert not watch.figures().is_within_bound


def test_a_suspended_leader_does_not_lead() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    leader = LeaderRecord("here", child.pid, 1)
    try:
        assert leads(leader, [child.pid])
        assert not leads(leader, [os.getpid()])
        psutil.Process(child.pid).suspend()
        wait_until(lambda: not leads(leader, [child.pid]), what="it is suspended", seconds=10)
    finally:
        child.kill()
        child.communicate()
    assert not works(child.pid)
    assert not leads(None, [child.pid])
