"""All sessions that hibernate are due at once; for ``hibernate``."""

from __future__ import annotations

import socket
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from common import Target, broken_target

from afx.lab.cluster import LabCluster, temporary_settings
from afx.lab.wake_storm import wake_storm

_SECONDS = 600.0
_SAMPLE_SECONDS = 0.2
_LONGEST_TICK = 1.0
"""Seconds; nodes are seen as silent after 2."""


def measure(sessions: int, *, rate: float, nodes: int) -> tuple[dict[str, Any], list[Target]]:
    """Let so many sessions wake at once; ``rate`` is how many a second each node starts."""
    premium = sessions // 10
    port = _free_port()
    variables = {
        "AFX_HIBERNATE_FRESH_HOURS": "0",
        "AFX_MAX_SESSIONS": str(max(5000, sessions)),
        "AFX_METRICS_ADDRESS": f"127.0.0.1:{port}-{port + 9}",
        "AFX_STARTS_PER_SECOND": str(rate),
    }
    with tempfile.TemporaryDirectory(prefix="afx-bench-") as home:
        with LabCluster(temporary_settings(Path(home)), variables=variables) as lab:
            lab.processes.start_coordinator()
            lab.wait("it leads", lambda: bool(lab.leader()), 60)
            lab.processes.start_nodes(nodes)
            lab.wait_nodes(nodes)
            lab.add_sessions(sessions - premium)
            lab.add_sessions(premium, tier="premium")
            lab.wait_running(seconds=_SECONDS)
            lab.events()
            ticks = _Ticks(port)
            storm = wake_storm(lab, seconds=_SECONDS, sample=ticks.sample)
            down = sum(it["kind"] == "node_down" for it in lab.events())
    most = storm.most_starts(1.0) / nodes
    burst = lab.settings.start_burst
    row = {
        "sessions": sessions,
        "nodes": nodes,
        "starts_per_s": rate,
        "storm_s": round(storm.seconds, 1),
        "copies": storm.verdict.delivered,
        "forgotten": storm.forgotten,
        "most_starts_in_1_s_per_node": most,
        "last_premium_start": storm.last_start(premium=True),
        "longest_tick_s": round(ticks.longest, 3),
        "terms": storm.terms,
        "nodes_down": down,
    }
    targets = [
        Target("storm: sessions forgotten", storm.forgotten, 0, "at most"),
        Target("storm: copies", storm.verdict.delivered, sessions, "at least"),
        broken_target("storm: lost, doubled, out of order, revoked", storm.verdict),
        Target("storm: the leader's longest tick, s", ticks.longest, _LONGEST_TICK, "at most"),
        Target("storm: leaders and nodes lost", storm.terms + down, 0, "at most"),
        Target("storm: starts of a node in 1 s", most, rate + burst, "at most"),
        Target(
            "storm: the last premium session's place",
            storm.last_start(premium=True),
            2 * premium,
            "at most",
        ),
    ]
    return row, targets


class _Ticks:
    """How long ago the leader's loop came round, as its metrics say."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._next = 0.0
        self.longest = 0.0

    def sample(self) -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _SAMPLE_SECONDS
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=10) as it:
            for line in it.read().decode().splitlines():
                if line.startswith("afx_coordinator_loop_age_seconds "):
                    self.longest = max(self.longest, float(line.split()[1]))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])
