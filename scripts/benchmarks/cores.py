"""One node with one and with two host processes: throughput, CPU, RSS of one more process."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from common import Target, broken_target, report

from afx.lab.cluster import LabCluster, temporary_settings
from afx.sandbox.judge.verdict import Verdict

NAME = "cores"
_MIB = 1 << 20


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sessions", type=int, default=400, help="Telegram accounts")
    parser.add_argument("--rate", type=float, default=600.0, help="posts a second")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long they are posted")
    parser.add_argument("--processes", type=int, default=2, help="the most host processes")


def run(flags: argparse.Namespace) -> None:
    """Post the same to both; the sandbox shares the machine, so CPU per message counts."""
    rows: list[dict[str, Any]] = []
    verdicts: list[Verdict] = []
    for processes in (1, flags.processes):
        row, verdict = _measure(flags, processes)
        rows.append(row)
        verdicts.append(verdict)
    one, more = rows
    further = (more["empty_rss_mib"] - one["empty_rss_mib"]) / max(1, flags.processes - 1)
    for row in rows:
        row["rss_of_one_more_mib"] = round(further, 1) if row is more else None
    targets = [
        Target(
            "MiB of RSS per further process", round(further, 1), one["host_rss_mib"] + 1, "at most"
        ),
        broken_target("lost, doubled, out of order, revoked", *verdicts),
    ]
    report(NAME, rows, targets, as_json=flags.json)


def _measure(flags: argparse.Namespace, processes: int) -> tuple[dict[str, Any], Verdict]:
    variables = {"AFX_STARTS_PER_SECOND": "500", "AFX_START_BURST": "500"}
    with (
        tempfile.TemporaryDirectory(prefix="afx-bench-") as home,
        LabCluster(temporary_settings(Path(home)), variables=variables) as lab,
    ):
        lab.processes.start_coordinator()
        lab.processes.start_nodes(1, "--processes", str(processes))
        lab.wait_nodes(processes)
        time.sleep(2)
        supervisor, *hosts = lab.process_tree("w1")
        empty = [it.memory_info().rss for it in (supervisor, *hosts)]
        lab.add_sessions(flags.sessions)
        lab.wait_running(seconds=240)
        shares = sorted(it.assigned for it in lab.nodes())
        lab.expect_copies()
        before = [_cpu(it) for it in hosts]
        begun = time.monotonic()
        count = int(flags.rate * flags.seconds)
        lab.post(count, flags.rate)
        verdict = lab.wait_delivered(flags.seconds * 5 + 60)
        took = time.monotonic() - begun
        used = [_cpu(it) - at for it, at in zip(hosts, before, strict=True)]
    row = {
        "processes": processes,
        "sessions": "+".join(map(str, shares)),
        "messages": count,
        "per_second": round(verdict.delivered / took, 1),
        "cpu_ms_per_1000": round(sum(used) * 1e6 / max(1, verdict.delivered)),
        "busiest_core_share": round(max(used) / took, 3),
        "empty_rss_mib": round(sum(empty) / _MIB, 1),
        "supervisor_rss_mib": round(empty[0] / _MIB, 1),
        "host_rss_mib": round(max(empty[1:]) / _MIB, 1),
        "lost": verdict.lost,
    }
    return row, verdict


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
