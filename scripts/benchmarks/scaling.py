"""Scaling on one machine: from sessions without room to all of them running on new nodes."""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common import Target, percentile, report

from afx.lab.cluster import LabCluster, temporary_settings
from models.storage import sessions

NAME = "scaling"
_PER_NODE = 20
_SECONDS = 120.0


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=5, help="times that sessions overflow")
    parser.add_argument("--nodes", type=int, default=2, help="nodes that are missing each time")


def run(flags: argparse.Namespace) -> None:
    """Fill `afx up --autoscale` beyond its only node, again and again, in a new home each time."""
    rows: list[dict[str, Any]] = []
    for number in range(flags.rounds):
        with tempfile.TemporaryDirectory(prefix="afx-bench-") as home:
            with LabCluster(temporary_settings(Path(home))) as lab, _up(lab, 1 + flags.nodes):
                rows.append({"round": number + 1, **_round(lab, flags.nodes)})
    reactions = [float(it["all_run_s"]) for it in rows]
    targets = [
        Target("overflow to all sessions running, s, the longest", max(reactions), 10, "at most")
    ]
    rows.append({"round": "p50", "all_run_s": percentile(reactions, 0.5)})
    report(NAME, rows, targets, as_json=flags.json)


def _round(lab: LabCluster, nodes: int) -> dict[str, float | int]:
    lab.wait("a node is ready", lambda: "ready" in {it.state for it in lab.nodes()}, _SECONDS)
    lab.add_sessions(_PER_NODE)
    lab.wait_running(seconds=_SECONDS)
    before = {it.name for it in lab.nodes()}
    begun = time.monotonic()
    lab.add_sessions(nodes * _PER_NODE)
    lab.wait("new nodes are live", lambda: {it.name for it in lab.nodes()} > before, _SECONDS)
    live = time.monotonic() - begun
    lab.wait_running(seconds=_SECONDS)
    seconds = time.monotonic() - begun
    return {
        "sessions": sessions.count(),
        "nodes_before": len(before),
        "nodes_after": len(lab.nodes()),
        "first_node_s": round(live, 2),
        "all_run_s": round(seconds, 2),
    }


@contextlib.contextmanager
def _up(lab: LabCluster, most: int) -> Iterator[None]:
    """Run `afx up --autoscale` in the lab's home; no spare node, so that room is missing."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("AFX_")}
    environment |= {
        "AFX_HOME": str(lab.settings.home),
        "AFX_MAX_SESSIONS": str(_PER_NODE),
        "AFX_SCALE_SPARE_NODES": "0",
        "AFX_TEST_NETWORKS": "127.0.0.0/8",
        "AFX_WEB_PORT": "0",
    }
    with lab.log.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "cli.main", "up", "--autoscale", f"1:{most}"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)
