"""A host that is replaced in place under load: gaps, what is lost, and RSS before and after."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import psutil
from common import Target, broken_target, percentile, report
from drain import session_gaps

from afx.app import context_for
from afx.lab.cluster import LabCluster, temporary_settings
from afx.operations import workers
from models.storage import controls
from models.storage import workers as stored_workers

NAME = "recycle"
_MIB = 1 << 20
_SETTLE_SECONDS = 10.0


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sessions", type=int, default=1000, help="Telegram accounts on the node")
    parser.add_argument("--rate", type=float, default=200.0, help="posts a second")
    parser.add_argument("--before", type=float, default=20.0, help="seconds of traffic before")


def run(flags: argparse.Namespace) -> None:
    """Replace the host of the only node; the ledger is the judge.

    A fresh host is one that has just been filled with the same sessions.
    """
    moving = flags.sessions / 25  # at the usual rate of starts
    with (
        tempfile.TemporaryDirectory(prefix="afx-bench-") as home,
        LabCluster(temporary_settings(Path(home))) as lab,
    ):
        lab.processes.start_coordinator()
        lab.processes.start_nodes(1)
        lab.wait_nodes(1)
        made = lab.add_sessions(flags.sessions)
        lab.wait_running(seconds=flags.sessions / 5 + 120)
        time.sleep(_SETTLE_SECONDS)
        fresh = _host(lab).memory_info().rss
        lab.expect_copies()
        lab.post(int(flags.rate * (flags.before + moving)), flags.rate)
        lab.wait(
            "traffic before it", lambda: lab.posted() > flags.rate * flags.before, flags.before * 5
        )
        context = context_for(lab.settings, "bench")
        lab.wait("SQL knows the node", lambda: bool(stored_workers.listing().rows), 60)
        busy = _host(lab).memory_info().rss
        begun = time.monotonic()
        control = workers.recycle(context, "w1", in_place=True).control
        assert control is not None
        lab.wait("it is replaced", lambda: controls.get(control)["state"] == "done", moving * 10)
        took = time.monotonic() - begun
        lab.wait_running(seconds=60)
        verdict = lab.wait_delivered(moving * 5 + 60)
        time.sleep(_SETTLE_SECONDS)
        after = _host(lab).memory_info().rss
        found = [it for it in session_gaps([it.id for it in made]) if it is not None]
    row = {
        "sessions": flags.sessions,
        "moved": len(found),
        "seconds": round(took, 1),
        "gap_p50_s": round(percentile(found, 0.5) or 0, 3),
        "gap_p99_s": round(percentile(found, 0.99) or 0, 3),
        "fresh_rss_mib": round(fresh / _MIB, 1),
        "busy_rss_mib": round(busy / _MIB, 1),
        "after_rss_mib": round(after / _MIB, 1),
        "copies": verdict.delivered,
    }
    targets = [
        Target("gap p50, s", percentile(found, 0.5), 0.6, "at most"),
        Target("gap p99, s", percentile(found, 0.99), 2.0, "at most"),
        Target("sessions moved", len(found), flags.sessions, "at least"),
        Target("RSS after it, times a fresh host's", round(after / fresh, 3), 1.1, "at most"),
        broken_target("lost, doubled, out of order, revoked", verdict),
    ]
    report(NAME, [row], targets, as_json=flags.json)


def _host(lab: LabCluster) -> psutil.Process:
    """Return the host process: the supervisor's child."""
    return lab.process_tree("w1")[1]
