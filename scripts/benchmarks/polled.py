"""What it costs one node that accounts which hibernate wake by schedule; for ``hibernate``.

As many accounts as a machine of tests holds are asleep, with a poll interval that is shorter in
the same measure: the node wakes as many a second as with ``accounts`` at ``minutes``.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from common import percentile

from afx.lab.cluster import LabCluster, temporary_settings
from afx.sandbox.judge.verdict import Verdict
from models.base import execute, micros, transaction, utc_now
from models.storage import hibernation
from models.tables import Session


@dataclass(slots=True, frozen=True, kw_only=True)
class Polled:
    """What was measured."""

    row: dict[str, Any]
    node_cpu: float
    """The share of a core that the node's processes used."""
    wakes_per_second: float
    longest_share: float
    """The longest time from one poll of an account to its next, as a share of the interval."""
    verdict: Verdict


def measure(*, accounts: int, minutes: float, present: int, seconds: float) -> Polled:
    """Let ``present`` accounts wake at the rate of ``accounts`` that are polled each ``minutes``.

    ``seconds`` is for how long the CPU of the node and of the leader is measured.
    """
    interval = minutes * 60 * present / accounts
    variables = {
        "AFX_HIBERNATE_FRESH_HOURS": "0",
        "AFX_HIBERNATE_POLL_MINUTES": str(interval / 60),
        "AFX_MAX_SESSIONS": str(max(5000, present)),
    }
    with tempfile.TemporaryDirectory(prefix="afx-bench-") as home:
        with LabCluster(temporary_settings(Path(home)), variables=variables) as lab:
            lab.processes.start_coordinator()
            lab.processes.start_nodes(1)
            lab.wait_nodes(1)
            lab.add_sessions(present)
            lab.wait_running(seconds=present / 10 + 60)
            lab.expect_copies()
            _let_sleep(interval)
            lab.wait("few are awake", lambda: lab.running() < present / 10, interval + 120)
            found = _measure(lab, interval, seconds)
            # What comes while an account is asleep shows that each is polled, and loses nothing.
            lab.post(present, present / 10)
            verdict = lab.wait_delivered(interval * 2 + 60)
    return Polled(
        row={
            "accounts": accounts,
            "poll_minutes": minutes,
            "present": present,
            "interval_s": round(interval, 1),
            **found,
            "copies": verdict.delivered,
            "lost": verdict.lost,
        },
        node_cpu=found["node_core"],
        wakes_per_second=found["wakes_per_s"],
        longest_share=round(found["between_polls_max_s"] / interval, 2),
        verdict=verdict,
    )


def _let_sleep(interval: float) -> None:
    """Let all hibernate; they wake spread over the interval, as they do after some time."""
    rows = list(Session.select().order_by(Session.id))
    now = utc_now()
    with transaction():
        for number, row in enumerate(rows):
            hibernation.request(row, now + timedelta(seconds=interval * number / len(rows)))


def _measure(lab: LabCluster, interval: float, seconds: float) -> dict[str, Any]:
    time.sleep(interval)  # then each has been polled once
    begun, since = time.monotonic(), utc_now()
    node, leader = _cpu(lab, "w1"), _cpu(lab, "coordinator")
    time.sleep(seconds)
    took = time.monotonic() - begun
    node, leader = _cpu(lab, "w1") - node, _cpu(lab, "coordinator") - leader
    lives = _lives(since)
    awake = [end - begin for begin, end in lives.awake]
    between = lives.between
    return {
        "seconds": round(took),
        "wakes": len(lives.awake),
        "wakes_per_s": round(len(lives.awake) / took, 1),
        "node_core": round(node / took, 3),
        "node_ms_per_wake": round(1000 * node / max(1, len(lives.awake)), 2),
        "leader_core": round(leader / took, 3),
        "awake_p50_s": round(percentile(awake, 0.5) or 0, 3),
        "awake_p99_s": round(percentile(awake, 0.99) or 0, 3),
        "between_polls_p50_s": round(percentile(between, 0.5) or 0, 2),
        "between_polls_max_s": round(max(between, default=0.0), 2),
    }


@dataclass(slots=True, frozen=True)
class _Lives:
    """The assignments of all accounts since an instant."""

    awake: list[tuple[float, float]]
    """When each began to run, and ended, in seconds."""
    between: list[float]
    """The seconds from the beginning of one to that of the account's next."""


def _lives(since: datetime) -> _Lives:
    cursor = execute(
        "SELECT session_id, running_at, ended_at FROM session_assignments"
        " WHERE running_at IS NOT NULL ORDER BY session_id, epoch"
    )
    awake: list[tuple[float, float]] = []
    between: list[float] = []
    before: list[int] = []
    """When the present account's earlier assignments began to run; the first one is no poll."""
    of = 0
    for session, running, ended in cursor.fetchall():
        if session != of:
            of, before = session, []
        if running >= micros(since):
            if ended is not None:
                awake.append((running / 1e6, ended / 1e6))
            if len(before) > 1:
                between.append((running - before[-1]) / 1e6)
        before.append(running)
    return _Lives(awake, between)


def _cpu(lab: LabCluster, name: str) -> float:
    """Return the seconds of CPU that a node's or coordinator's processes have used."""
    times = [it.cpu_times() for it in lab.process_tree(name)]
    return float(sum(it.user + it.system for it in times))
