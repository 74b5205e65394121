"""Hibernation: from waking a session to its first forward, and what one that sleeps costs.

A session hibernates, a message is posted to its source, and it is woken as an operator wakes
it; the time ends when the copy is there. A node keeps a record of a session that it has run
once; the leader keeps nothing, and its RSS with many sessions that hibernate shows that. Then
accounts are polled by schedule (``polled``), and all wake at once (``storm``).
"""

from __future__ import annotations

import argparse
import tempfile
import time
import tracemalloc
from datetime import timedelta
from pathlib import Path
from typing import Any

import polled
import storm
from common import Target, broken_target, percentile, report

from afx.app import context_for
from afx.lab.accounts import LabSession
from afx.lab.cluster import LabCluster, temporary_settings
from afx.node.residents import Residents
from afx.operations import sessions as operations
from afx.sandbox.judge.verdict import Verdict
from models.base import transaction, utc_now
from models.storage import hibernation, rules, sessions, users
from models.storage.rules import NewRule
from models.storage.sessions import NewSession

NAME = "hibernate"
_WAIT_SECONDS = 30.0
_POLL_SECONDS = 0.004
_PART = 5_000
_PARTS = ("wake", "polled", "storm")
_AWAKE_SECONDS = 3.0
"""In a short interval the time that an account is awake, and waits for its node, is seen."""
_FRESH = {"AFX_HIBERNATE_FRESH_HOURS": "0"}


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sessions", type=int, default=20, help="Telegram accounts")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is woken")
    parser.add_argument("--asleep", type=int, default=50_000, help="sessions that hibernate")
    parser.add_argument("--settle", type=float, default=20, help="seconds before RSS is measured")
    parser.add_argument("--accounts", type=int, default=20_000, help="that one node polls")
    parser.add_argument("--minutes", type=float, default=15, help="in which each is polled")
    parser.add_argument(
        "--present", type=int, default=1000, help="of them, polled that much faster"
    )
    parser.add_argument("--seconds", type=float, default=60, help="for which CPU is measured")
    parser.add_argument("--storm", type=int, default=5000, help="sessions that wake at once")
    parser.add_argument("--rate", type=float, default=30, help="sessions a node starts a second")
    parser.add_argument(
        "--part", choices=_PARTS, action="append", help="measure only this; may be repeated"
    )


def run(flags: argparse.Namespace) -> None:
    """Run the parts that are asked for."""
    parts = flags.part or _PARTS
    rows: list[dict[str, Any]] = []
    targets: list[Target] = []
    for part in parts:
        row, reached = {"wake": _wakes, "polled": _polled, "storm": _storm}[part](flags)
        rows.append({"part": part, **row})
        targets += reached
    report(NAME, rows, targets, as_json=flags.json)


def _polled(flags: argparse.Namespace) -> tuple[dict[str, Any], list[Target]]:
    """Let accounts wake by schedule."""
    found = polled.measure(
        accounts=flags.accounts,
        minutes=flags.minutes,
        present=flags.present,
        seconds=flags.seconds,
    )
    return found.row, [
        Target("polled: cores of the node", found.node_cpu, 0.3, "at most"),
        Target(
            "polled: wakes a second",
            found.wakes_per_second,
            0.95 * flags.accounts / flags.minutes / 60,
            "at least",
        ),
        Target(
            "polled: longest time between two polls, s",
            found.row["between_polls_max_s"],
            found.row["interval_s"] + _AWAKE_SECONDS,
            "at most",
        ),
        broken_target("polled: lost, doubled, out of order, revoked", found.verdict),
    ]


def _storm(flags: argparse.Namespace) -> tuple[dict[str, Any], list[Target]]:
    """Let sessions wake at once."""
    return storm.measure(flags.storm, rate=flags.rate, nodes=2)


def _wakes(flags: argparse.Namespace) -> tuple[dict[str, Any], list[Target]]:
    """Wake sessions one after another, and measure what many that sleep cost."""
    times, verdict = _wake(flags.sessions, flags.rounds)
    node_bytes = _node_bytes(flags.asleep)
    leader_bytes, due_ms = _leader_bytes(flags.asleep, flags.settle)
    p50 = percentile(times, 0.5)
    row = {
        "woken": len(times),
        "wake_p50_ms": round(1000 * (p50 or 0)),
        "wake_p90_ms": round(1000 * (percentile(times, 0.9) or 0)),
        "wake_max_ms": round(1000 * max(times)),
        "asleep": flags.asleep,
        "node_bytes": round(node_bytes),
        "leader_bytes": round(leader_bytes),
        "leader_queries_ms": round(due_ms, 2),
    }
    return row, [
        Target("wake to first forward p50, ms", round(1000 * (p50 or 0)), 150, "at most"),
        Target("bytes of a node per session that it has run once", node_bytes, 400, "at most"),
        broken_target("lost, doubled, out of order, revoked", verdict),
    ]


def _wake(count: int, rounds: int) -> tuple[list[float], Verdict]:
    """Return how long each wake took, from the request to the copy, and the verdict."""
    times: list[float] = []
    with tempfile.TemporaryDirectory(prefix="afx-bench-") as home:
        with LabCluster(temporary_settings(Path(home)), variables=_FRESH) as lab:
            lab.processes.start_coordinator()
            lab.processes.start_nodes(1)
            lab.wait_nodes(1)
            added = lab.add_sessions(count)
            lab.wait_running(seconds=120)
            lab.expect_copies()
            context = context_for(lab.settings, "bench")
            for number in range(rounds):
                for it in added:
                    operations.hibernate(context, it.name, though_fresh=True)
                lab.wait("all hibernate", lambda: lab.running() == 0, _WAIT_SECONDS)
                for it in added:
                    lab.sandbox.call("post", chat=it.source, text=f"round {number}")
                    begun = time.monotonic()
                    operations.wake(context, it.name)
                    _wait_copies(lab, it, number + 1)
                    times.append(time.monotonic() - begun)
                lab.wait_running(seconds=60)
            verdict = lab.wait_delivered(60)
    return times, verdict


def _wait_copies(lab: LabCluster, it: LabSession, count: int) -> None:
    deadline = time.monotonic() + _WAIT_SECONDS
    while len(lab.sandbox.call("messages", chat=it.destination)) < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"session {it.name} has not forwarded")
        time.sleep(_POLL_SECONDS)


def _node_bytes(count: int) -> float:
    """Return the bytes of one record of a session that a node has run and stopped."""
    residents: Residents[Any] = Residents()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for session_id in range(1, count + 1):
        epoch = (7 << 32) + session_id
        residents.order_start(session_id, epoch)
        record = residents.get(session_id)
        assert record is not None
        residents.started(record)
        residents.order_stop(session_id, epoch)
        residents.ended(record)
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return used / count


def _leader_bytes(count: int, settle: float) -> tuple[float, float]:
    """Return the leader's bytes for each session that hibernates, and ms of its queries."""
    with tempfile.TemporaryDirectory(prefix="afx-bench-") as home:
        with LabCluster(temporary_settings(Path(home)), variables=_FRESH) as lab:
            lab.processes.start_coordinator("empty")
            empty = _leader_rss(lab, "empty", settle)
            lab.processes.kill("empty")
            owner = users.create("sleeper")
            for start in range(0, count, _PART):
                names = range(start, min(start + _PART, count))
                ids = sessions.create_many(
                    owner, [NewSession(f"sleeper-{it}", "sealed" * 60) for it in names]
                )
                rules.create_many([NewRule(it, "r", ["-1001"], ["-1002"]) for it in ids])
                with transaction():
                    at = utc_now() + timedelta(days=1)
                    revisions = hibernation.older_than(ids, at)
                    rows = [(it, revisions[it], at) for it in ids]
                    hibernation.begin(rows, "quiet")
            lab.processes.start_coordinator("full")
            full = _leader_rss(lab, "full", settle)
            begun = time.monotonic()
            for _ in range(20):
                hibernation.due(utc_now(), 500)
                hibernation.awake()
            due_ms = (time.monotonic() - begun) / 20 * 1000
    return max(0, full - empty) / count, due_ms


def _leader_rss(lab: LabCluster, name: str, settle: float) -> int:
    lab.wait("it leads", lambda: lab.leader() == name, 60)
    time.sleep(settle)
    return int(max(it.memory_info().rss for it in lab.process_tree(name)))
