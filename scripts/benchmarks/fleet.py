"""Fleet: many registered nodes that send heartbeats: latency, and the coordinator's CPU."""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
from common import Target, percentile, report

NAME = "fleet"
MIB = 1024 * 1024
_SENDERS = 4
_WARM_UP_SECONDS = 3.0


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--nodes", type=int, default=500)
    parser.add_argument("--rate", type=float, default=200.0, help="heartbeats a second, of all")
    parser.add_argument("--seconds", type=float, default=20.0)


def run(flags: argparse.Namespace) -> None:
    """Register stand-ins of nodes with a real Redis and coordinator, and send their beats."""
    from afx.cluster.connection import connect
    from afx.cluster.registry import Registry
    from afx.config import load
    from afx.local import private_redis
    from afx.local.processes import LocalProcesses
    from models import base, schema

    with tempfile.TemporaryDirectory(prefix="afx-bench-") as home:
        settings = load(home=Path(home), redis_url="", database_url="")
        private_redis.ensure(settings.home)
        url = private_redis.url_for(settings.home)
        base.open_database(settings.database)
        schema.upgrade()
        base.close_database()
        processes = LocalProcesses(settings, url, log=settings.home / "cluster.log")
        try:
            processes.start_coordinator()
            with closing(connect(url)) as client:
                senders = [_Sender(url, flags, number) for number in range(_SENDERS)]
                for it in senders:
                    it.thread.start()
                time.sleep(_WARM_UP_SECONDS)
                coordinator = psutil.Process(processes.children["coordinator"].pid)
                redis_server = psutil.Process(int(client.info("server")["process_id"]))
                begun, before = time.monotonic(), _cpu(coordinator)
                redis_before = _cpu(redis_server)
                time.sleep(flags.seconds)
                spent = time.monotonic() - begun
                coordinator_cpu = (_cpu(coordinator) - before) / spent
                redis_cpu = (_cpu(redis_server) - redis_before) / spent
                for it in senders:
                    it.ended.set()
                    it.thread.join()
                states = [it.state for it in Registry(client).all()]
        finally:
            processes.stop()
            private_redis.stop(settings.home)
    taken = [ms for it in senders for at, ms in it.taken if at >= begun]
    row: dict[str, Any] = {
        "nodes": len(states),
        "beats_per_s": round(len(taken) / spent, 1),
        "beat_p50_ms": round(percentile(taken, 0.5) or 0, 2),
        "beat_p99_ms": round(percentile(taken, 0.99) or 0, 2),
        "coordinator_cpu": round(coordinator_cpu, 3),
        "redis_cpu": round(redis_cpu, 3),
        "fenced": states.count("fenced"),
    }
    targets = [
        Target("heartbeats/s", row["beats_per_s"], 0.95 * flags.rate, "at least"),
        Target("heartbeat p99, ms", row["beat_p99_ms"], 100, "at most"),
        Target("coordinator, share of a core", row["coordinator_cpu"], 0.8, "at most"),
        Target("nodes fenced", row["fenced"], 0, "at most"),
    ]
    report(NAME, [row], targets, as_json=flags.json)


class _Sender:
    """Sends the heartbeats of a share of the nodes, evenly over time, on a thread."""

    def __init__(self, url: str, flags: argparse.Namespace, number: int) -> None:
        self.taken: list[tuple[float, float]] = []
        """(when it was sent, in monotonic seconds; milliseconds that it took)."""
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run)
        self._url = url
        self._names = [f"n{it}" for it in range(number, flags.nodes, _SENDERS)]
        self._pause = _SENDERS / flags.rate

    def _run(self) -> None:
        from afx.cluster.connection import connect
        from afx.cluster.registry import Registry
        from afx.cluster.worker_records import Identity, Metrics

        idle = Metrics(100 * MIB, 60_000 * MIB, 64_000 * MIB, 0.1, 0, 0, 0)
        nodes = [Identity(it, it, "far", "another boot", "", "1:1", 5000) for it in self._names]
        with closing(connect(self._url)) as client:
            registry = Registry(client)
            for it in nodes:
                registry.register(it, idle)
            due = time.monotonic()
            while True:
                for it in nodes:
                    if self.ended.wait(max(0.0, due - time.monotonic())):
                        return
                    due += self._pause
                    begun = time.monotonic()
                    registry.beat(it, idle, ())
                    self.taken.append((begun, (time.monotonic() - begun) * 1000))


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
