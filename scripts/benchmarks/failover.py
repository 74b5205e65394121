"""SIGKILLs of a node under load: detection, recovery, and nothing lost."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import Target, broken_target, percentile, report, verdict_row

from afx.lab.accounts import LabSession, alternate_modes
from afx.lab.cluster import LabCluster, temporary_settings
from afx.lab.failover import wait_recovered
from afx.lease import PROFILES
from afx.sandbox.judge.verdict import Verdict

NAME = "failover"
# When a node dies every few seconds, the brake holds placement; here each loss is
# measured alone.
UNBRAKED = {"AFX_BRAKE_HOLD_SECONDS": "0"}


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kills", type=int, default=30, help="how many nodes are killed")
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--rate", type=float, default=400, help="posts a second, all the time")
    parser.add_argument(
        "--mass", type=int, default=1000, help="sessions of one large node that dies; 0: skip it"
    )
    parser.add_argument(
        "--partitions", type=int, default=6, help="how often a node is cut off from Redis alone"
    )
    parser.add_argument("--pause", type=float, default=2, help="seconds between kills")


def run(flags: argparse.Namespace) -> None:
    """Kill the busiest node again and again, each time with a new one started."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="afx-bench-") as home:
        with LabCluster(temporary_settings(Path(home)), variables=UNBRAKED) as lab:
            lab.add_sessions(flags.sessions, mode=alternate_modes)
            lab.processes.start_coordinator()
            lab.processes.start_nodes(flags.workers)
            lab.wait_nodes(flags.workers)
            lab.wait_running()
            lab.expect_copies()
            lab.post(10_000_000, flags.rate)
            for number in range(flags.kills):
                rows.append(_kill(lab, number + 1, flags.sessions))
                print(f"kill {number + 1}: {rows[-1]}", file=sys.stderr)
                lab.processes.start_nodes(1, first=flags.workers + number + 1)
                lab.wait_nodes(flags.workers)
                time.sleep(flags.pause)
            lab.sandbox.call("stop_flow")
            verdict = lab.wait_delivered(60)
    partitions = _partitions(flags) if flags.partitions else None
    mass = _mass(flags.mass) if flags.mass else None
    detected = percentile([row["detected_s"] for row in rows], 0.99)
    recovered = percentile([row["recovered_s"] for row in rows], 0.99)
    rows.append({"kill": "all", **verdict_row(verdict)})
    targets = [
        Target("detection of a killed process, p99 s", detected, 2, "at most"),
        Target("all its sessions forwarding again, p99 s", recovered, 6, "at most"),
        Target("lost", verdict.lost, 0, "at most"),
        Target("doubled", verdict.duplicated, 0, "at most"),
        Target("revoked", verdict.revoked, 0, "at most"),
        Target("out of order", verdict.out_of_order, 0, "at most"),
    ]
    if partitions:
        rows += partitions.rows
        found = percentile([row["detected_s"] for row in partitions.rows], 0.99)
        # The profile's figure, and a tick to detect and announce it.
        within = PROFILES["fast"].takeover + 0.3
        targets += [
            Target("takeover of a node cut off from Redis, p99 s", found, within, "at most"),
            broken_target("lost, doubled, revoked, out of order of these", partitions.verdict),
        ]
        rows.append({"partition": "all", **verdict_row(partitions.verdict)})
    if mass:
        [row] = mass.rows
        rows.append(row | verdict_row(mass.verdict))
        name = f"{flags.mass} sessions over 5 surviving nodes forwarding again, s"
        targets += [
            Target(name, row["recovered_s"], 8, "at most"),
            broken_target("lost, doubled, revoked, out of order of these", mass.verdict),
        ]
    report(NAME, rows, targets, as_json=flags.json)


@dataclass(slots=True, frozen=True)
class _Part:
    """One part of the benchmark, in a cluster of its own."""

    rows: list[dict[str, Any]]
    verdict: Verdict


def _partitions(flags: argparse.Namespace) -> _Part:
    """Cut nodes off from Redis while they still reach Telegram."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="afx-bench-") as home:
        with LabCluster(temporary_settings(Path(home)), variables=UNBRAKED) as lab:
            lab.add_sessions(flags.sessions)
            lab.processes.start_coordinator()
            lab.start_linked_nodes(flags.workers)
            lab.wait_nodes(flags.workers)
            lab.wait_running()
            lab.expect_copies()
            lab.post(10_000_000, flags.rate)
            for number in range(flags.partitions):
                lab.events()
                node = lab.busiest_node()
                victims = lab.owned_by(node)
                lab.links[node].cut()
                rows.append(
                    {"partition": number + 1, **_recovery(lab, node, victims, time.monotonic())}
                )
                print(f"partition {number + 1}: {rows[-1]}", file=sys.stderr)
                lab.links[node].mend()
                lab.wait_nodes(flags.workers)
                time.sleep(flags.pause)
            lab.sandbox.call("stop_flow")
            verdict = lab.wait_delivered(60)
    return _Part(rows, verdict)


def _mass(count: int) -> _Part:
    """Kill one node with many sessions, with five others to take them."""
    with tempfile.TemporaryDirectory(prefix="afx-bench-") as home:
        with LabCluster(
            temporary_settings(Path(home)), variables={"AFX_REBALANCE_SECONDS": "0"}
        ) as lab:
            lab.add_sessions(count)
            lab.processes.start_coordinator()
            lab.processes.start_node("large")
            lab.wait_running(seconds=180)
            lab.processes.start_nodes(5)
            lab.wait_nodes(6)
            lab.expect_copies()
            lab.post(10_000_000, count / 2)
            time.sleep(5)
            row = _kill(lab, 0, count) | {"kill": "a large node"}
            lab.sandbox.call("stop_flow")
            verdict = lab.wait_delivered(60)
    return _Part([row], verdict)


def _kill(lab: LabCluster, number: int, sessions: int) -> dict[str, Any]:
    node = lab.busiest_node()
    killed_at, victims = lab.kill_node(node)
    row = {"kill": number, **_recovery(lab, node, victims, killed_at)}
    lab.wait_running(sessions)
    return row


def _recovery(
    lab: LabCluster, node: str, victims: list[LabSession], since: float
) -> dict[str, Any]:
    """Return how long it took to detect the loss of a node, and to forward again."""
    detected_at = lab.wait_detected(node)
    recovered_at = wait_recovered(lab, since, victims)
    return {
        "sessions": len(victims),
        "detected_s": round(detected_at - since, 3),
        "recovered_s": round(recovered_at - since, 3),
    }
