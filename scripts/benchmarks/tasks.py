"""Tasks that do nothing: how many a second, how soon one starts, beside other queues."""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import psutil
from common import Target, percentile, report

from afx.app import context_for
from afx.cluster import report_stream
from afx.lab.accounts import LabSession
from afx.lab.cluster import LabCluster, temporary_settings
from afx.operations import task_requests
from afx.operations.task_requests import TaskRequest
from models.base import execute
from models.storage import tasks
from models.storage.tasks import NewTask

NAME = "tasks"
_PROBE = "task.probe"
_CORES_OF_ALL = 6
"""For two nodes, the leader, Redis, its clients and the rest of the machine."""
_AFTER_THE_NODE = 10
"""Niceness of what would run on other machines."""
_ROUNDS = 3
"""Of forwarding without and with tasks."""
_FULL_RATE = 1_000
"""Tasks a second beside forwarding, below which its latency says nothing."""
_PEER = Path(__file__).parent / "task_peers.py"


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--count", type=int, default=10_000, help="tasks of the throughput part")
    parser.add_argument("--singles", type=int, default=100, help="tasks of the latency part")
    parser.add_argument("--behind", type=int, default=50_000, help="tasks of the fairness part")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument(
        "--forwarding", type=float, default=20, help="seconds of forwarding without and with tasks"
    )
    parser.add_argument("--no-peers", action="store_true", help="leave out other queues")
    parser.add_argument(
        "--peer-python",
        nargs="+",
        default=[sys.executable],
        help="Pythons that have arq, dramatiq, taskiq; arq needs an older redis than the others",
    )


def run(flags: argparse.Namespace) -> None:
    rows: list[dict[str, Any]] = []
    targets: list[Target] = []
    with tempfile.TemporaryDirectory(prefix="afx-bench-") as home:
        with LabCluster(temporary_settings(Path(home))) as lab:
            lab.processes.start_coordinator()
            lab.processes.start_nodes(flags.workers)
            lab.wait_nodes(flags.workers)
            _singles(lab, flags.singles, rows, targets)
            rate = _throughput(lab, flags.count, rows, targets)
            _second_node(lab, flags, rate, rows, targets)
            if flags.behind:
                _behind(lab, flags.behind, rows, targets)
            if not flags.no_peers:
                peers = _peers(lab, flags.peer_python, rows)
                fastest = max(peers.values(), default=0.0)
                targets.append(Target("times the fastest peer", rate / fastest, 1, "at least"))
    if flags.forwarding:
        _forwarding(flags.forwarding, rows, targets)
    report(NAME, rows, targets, as_json=flags.json)


def _submit(lab: LabCluster, count: int, **fields: Any) -> float:
    """Submit probes; returns for how many seconds it took."""
    begin = time.monotonic()
    tasks.submit([NewTask(_PROBE, **fields)] * count, "bench")
    report_stream.publish(lab.redis, [])
    return time.monotonic() - begin


def _unfinished() -> int:
    return sum(tasks.counts().values())


def _singles(lab: LabCluster, count: int, rows: list[Any], targets: list[Target]) -> None:
    context = context_for(lab.settings, "bench")
    calls, delays = [], []
    for _ in range(count):
        called = time.time()
        [number] = task_requests.submit(context, TaskRequest(kind=_PROBE)).ids
        at = time.time()
        lab.wait("it finishes", lambda it=number: tasks.get(it)["state"] == "succeeded", 20)  # type: ignore[misc]
        started = tasks.get(number)["started_at"].timestamp()
        calls.append((started - called) * 1000)
        delays.append((started - at) * 1000)
        time.sleep(0.02)
    p50, p99 = statistics.median(delays), percentile(delays, 0.99)
    for part, values in (("called → started, ms", calls), ("submitted → started, ms", delays)):
        middle, late = statistics.median(values), percentile(values, 0.99)
        rows.append({"part": part, "tasks": count, "p50": _ms(middle), "p99": _ms(late)})
    targets += [
        Target("submit → start on an idle node, p50 ms", p50, 5, "at most"),
        Target("submit → start on an idle node, p99 ms", p99, 20, "at most"),
    ]


def _throughput(lab: LabCluster, count: int, rows: list[Any], targets: list[Target]) -> float:
    begin = time.monotonic()
    submitted = _submit(lab, count)
    lab.wait("all finish", lambda: not _unfinished(), 300)
    seconds = time.monotonic() - begin
    first, last, at_once = execute(
        "SELECT MIN(started_at), MAX(finished_at), COUNT(*) FROM"
        " (SELECT started_at, finished_at FROM worker_tasks ORDER BY id DESC LIMIT ?) AS t",
        count,
    ).fetchone()
    rate = at_once / max(0.001, (last - first) / 1e6)
    memory = _memory_of_a_finished_job(lab)
    rows.append(
        {
            "part": "throughput",
            "tasks": count,
            "per s": round(rate),
            "submitted per s": round(count / submitted),
            "whole s": round(seconds, 2),
            "bytes each": memory,
        }
    )
    targets += [
        Target("tracked, signed tasks a second", rate, 2000, "at least"),
        Target("submitted a second", count / submitted, 5000, "at least"),
        Target("bytes in Redis per finished task", memory, 1024, "at most"),
    ]
    return float(rate)


def _second_node(
    lab: LabCluster, flags: argparse.Namespace, rate: float, rows: list[Any], targets: list[Target]
) -> None:
    """The same with one node more, which then ends: leader, Redis and nodes share the cores."""
    [name] = lab.processes.start_nodes(1, first=flags.workers + 1)
    lab.wait_nodes(flags.workers + 1)
    found: list[dict[str, Any]] = []
    more = _throughput(lab, flags.count, found, [])
    cores = os.cpu_count() or 1
    rows.append({**found[0], "part": f"throughput, a node more, {cores} cores"})
    if cores >= _CORES_OF_ALL:
        targets.append(
            Target("times the throughput with a node more", more / rate, 1.7, "at least")
        )
    lab.processes.terminate(name)
    lab.processes.wait_for_end(name)


def _memory_of_a_finished_job(lab: LabCluster) -> float:
    keys = list(lab.redis.scan_iter("rq:job:task-*", count=1000))[:200]
    sizes = [lab.redis.memory_usage(it) or 0 for it in keys]
    return round(float(statistics.mean(sizes)), 1) if sizes else 0.0


def _behind(lab: LabCluster, count: int, rows: list[Any], targets: list[Target]) -> None:
    """One task of another queue, and one of another user, behind very many."""
    _submit(lab, count, priority=3, user=1)
    time.sleep(1.0)
    premium = _one(lab, priority=0, user=2)
    another = _one(lab, priority=3, user=3)
    used = int(lab.redis.info("memory")["used_memory"]) / 2**20
    lab.wait("all finish", lambda: not _unfinished(), 600)
    rows.append({"part": f"behind {count}, ms", "premium": premium, "another user": another})
    targets += [
        Target("premium behind very many, ms", premium, 50, "at most"),
        Target("another user's first behind very many, ms", another, 1000, "at most"),
        Target("MiB of Redis with them queued", used, 150, "at most"),
    ]


def _forwarding(seconds: float, rows: list[Any], targets: list[Target]) -> None:
    """The latency of forwarding on a node that runs as many tasks as it can.

    At first all processes are equal, which share this machine's cores: that tells of the node
    only where each has a core. Then node and Telegram have a core whenever they need one, as if
    the others had machines of their own. A 99th percentile is ten messages of a thousand: the
    middle of some rounds counts.
    """
    with tempfile.TemporaryDirectory(prefix="afx-bench-") as home:
        with LabCluster(temporary_settings(Path(home))) as lab:
            lab.processes.start_coordinator()
            lab.processes.start_nodes(1)
            lab.wait_nodes(1)
            chosen = lab.add_sessions(50)
            lab.wait_running()
            ratios: dict[str, list[float | None]] = {}
            for how in ("all processes equal", "the node first"):
                if how == "the node first":
                    _put_first(lab)
                for _ in range(_ROUNDS):
                    lab.wait("no task is left", lambda: not _unfinished(), 300)
                    ratio = _beside_tasks(lab, chosen, seconds, f", {how}", rows)
                    ratios.setdefault(how, []).append(ratio)
    for how, found in ratios.items():
        middle = None if None in found else statistics.median(it for it in found if it)
        name = f"times the p99 of forwarding alone, {how}"
        if how == "the node first" or (os.cpu_count() or 1) >= _CORES_OF_ALL:
            targets.append(Target(name, middle, 1.2, "at most"))
        else:
            rows.append({"part": name, "p99": _ms(middle)})


def _beside_tasks(
    lab: LabCluster, chosen: Sequence[LabSession], seconds: float, how: str, rows: list[Any]
) -> float | None:
    """Forward without and with tasks; returns how many times later the 99th percentile is.

    None when too few tasks ran beside it: other processes had the cores.
    """
    found: dict[str, float] = {}
    for part, with_tasks in (("alone", False), ("beside tasks", True)):
        lab.sandbox.call("forget_routes")
        lab.expect_copies(chosen)
        before = tasks.finished_count()
        begin = time.monotonic()
        lab.post(int(seconds * 50), 50, chosen)
        while not lab.all_posted():
            if with_tasks and _unfinished() < 5000:
                _submit(lab, 5000)
            time.sleep(0.1)
        rate = (tasks.finished_count() - before) / (time.monotonic() - begin)
        verdict = lab.wait_delivered(60)
        latency = verdict.latency_ms
        found[part] = latency.p99 or 0.0
        rows.append(
            {
                "part": f"forwarding {part}{how}, ms",
                "tasks": verdict.delivered,
                "p50": _ms(latency.p50),
                "p99": _ms(latency.p99),
                "per s": round(rate),
            }
        )
    is_full = rate >= _FULL_RATE
    return found["beside tasks"] / found["alone"] if found["alone"] and is_full else None


def _put_first(lab: LabCluster) -> None:
    """Let the node and Telegram have a core as soon as they need one, whoever else has it.

    Linux gives real-time priority to root alone; elsewhere the others are nice, and may keep a
    core for some milliseconds. Each thread has a policy and a niceness of its own (nice(2)).
    """
    leader = lab.processes.children["coordinator"].pid
    others = {int(lab.redis.info("server")["process_id"]), leader, os.getpid()}
    first = {it.pid for it in psutil.Process().children(recursive=True)} - others
    try:
        for thread in _threads(first):
            os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(1))
    except (AttributeError, PermissionError):
        for thread in _threads(others):
            os.setpriority(os.PRIO_PROCESS, thread, _AFTER_THE_NODE)


def _threads(processes: Iterable[int]) -> list[int]:
    return [thread.id for pid in processes for thread in psutil.Process(pid).threads()]


def _one(lab: LabCluster, **fields: Any) -> float:
    at = time.time()
    [number] = tasks.submit([NewTask(_PROBE, **fields)], "bench")
    report_stream.publish(lab.redis, [])
    lab.wait("it finishes", lambda: tasks.get(number)["state"] == "succeeded", 60)
    return round(float(tasks.get(number)["started_at"].timestamp() - at) * 1000, 1)


def _peers(lab: LabCluster, pythons: Sequence[str], rows: list[Any]) -> dict[str, float]:
    """Measure the other queues; each by the first of the Pythons that has it."""
    found: dict[str, float] = {}
    counts = {"rq simple": 1000, "rq": 100, "arq": 2000, "dramatiq": 2000, "taskiq": 2000}
    for name, count in counts.items():
        why = ""
        for python in [*pythons, sys.executable]:  # RQ is of our own
            done = subprocess.run(
                [python, str(_PEER), name, lab.redis_url, str(count)],
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            try:
                found[name] = float(done.stdout.splitlines()[-1])
            except (IndexError, ValueError):
                why = done.stderr[-200:]
                continue
            rows.append({"part": name, "tasks": count, "per s": round(found[name])})
            break
        else:
            rows.append({"part": name, "tasks": why})
    return found


def _ms(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
