"""Leader changes at scale: how long the nodes are not observed, takeover, and steady ticks."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

from common import Target, percentile, report
from simulated_nodes import SimulatedNodes

from afx.app import ProcessServers
from afx.cluster import keys
from afx.cluster.connection import connect
from afx.config import Settings, load
from afx.lab.waiting import wait_until
from afx.lease import PROFILES
from afx.local import private_redis
from models import base, schema
from models.storage import assignments, cluster, placing, rules, sessions, users
from models.storage.assignments import Active
from models.storage.rules import NewRule
from models.storage.sessions import NewSession

NAME = "leadership"
_SESSIONS_PER_NODE = 2_000
_PART = 5_000
_CHECKED = (20_000, 100_000)
"""The sizes that have targets; the others show how costs grow."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--sizes", default="10000,20000,50000,100000", help="numbers of sessions, with commas"
    )
    parser.add_argument("--steady", type=float, default=30, help="seconds of steady ticks")
    parser.add_argument(
        "--nice", type=int, default=0, help="priority of all processes, against a machine's load"
    )
    parser.add_argument("--database-url", default="", help="an empty Postgres, for one size")


def run(flags: argparse.Namespace) -> None:
    """Kill a leader and a node at once, with a standby and simulated nodes."""
    if flags.nice:
        os.nice(flags.nice)
    rows: list[dict[str, Any]] = []
    targets: list[Target] = []
    for size in (int(it) for it in flags.sizes.split(",")):
        with tempfile.TemporaryDirectory(prefix="afx-bench-") as home:
            row = _measure(Path(home), size, flags)
        print(row, file=sys.stderr)
        rows.append(row)
        if size in _CHECKED:
            within = 6 + PROFILES["fast"].takeover
            targets += [
                Target(f"{size}: longest time without observing, s", row["gap_s"], 0.5, "at most"),
                Target(
                    f"{size}: death of the leader to first takeover decision, s",
                    row["decision_s"],
                    within,
                    "at most",
                ),
                Target(f"{size}: steady tick p99, ms", row["tick_p99_ms"], 50, "at most"),
            ]
    report(NAME, rows, targets, as_json=flags.json)


def _measure(home: Path, size: int, flags: argparse.Namespace) -> dict[str, Any]:
    settings = load(home=home, redis_url="", database_url=flags.database_url)
    with ExitStack() as closing:
        private_redis.ensure(home)
        closing.callback(private_redis.stop, home)
        url = private_redis.url_for(home)
        # A coordinator makes no key beside logins that were sealed with another one.
        with ProcessServers(settings) as servers:
            servers.vault()
        base.open_database(settings.database)
        closing.callback(base.close_database)
        schema.upgrade()
        owned = _add_sessions(size)
        _add_cursors(url, size)
        nodes = SimulatedNodes(url, owned, most=_SESSIONS_PER_NODE * 2)
        closing.callback(nodes.close)
        first = _MeasuredCoordinator(settings, url, "first")
        closing.callback(first.kill)
        _wait_settled(url, nodes)
        second = _MeasuredCoordinator(settings, url, "second")
        closing.callback(second.kill)
        time.sleep(3)
        first.begin_window()
        time.sleep(flags.steady)
        steady = first.ticks_so_far()
        nodes.forget_orders()
        killed_at = time.monotonic()
        first.kill()
        nodes.kill("w1")
        wait_until(second.leads, what="the standby leads", seconds=60)
        _wait_settled(url, nodes)
        settled_at = time.monotonic()
        _wait(lambda: not _has_sessions("w1"), "the dead node's sessions are free")
        _wait_settled(url, nodes)
        ended_at = time.monotonic()
        measured = second.end()
    leading_at = measured["announced_at"]["leading"]
    observed = [it for it in measured["observed_at"] if leading_at <= it[0] <= ended_at]
    return {
        "sessions": size,
        "nodes": len(owned),
        "gap_s": round(max(_differences([leading_at, *(it[0] for it in observed)])), 3),
        "gap_cpu_s": round(max(_differences([it[1] for it in observed])), 3),
        "leading_s": round(leading_at - killed_at, 2),
        "read_s": round(measured["read_at"] - leading_at, 2),
        "decision_s": round(measured["announced_at"]["node_down"] - killed_at, 2),
        "settled_s": round(settled_at - leading_at, 1),
        "ticks": len(steady),
        "tick_p50_ms": _milliseconds(percentile([it[0] for it in steady], 0.5)),
        "tick_p99_ms": _milliseconds(percentile([it[0] for it in steady], 0.99)),
        "tick_max_ms": _milliseconds(max(it[0] for it in steady)),
        "tick_cpu_p99_ms": _milliseconds(percentile([it[1] for it in steady], 0.99)),
    }


def _differences(values: list[float]) -> list[float]:
    return [after - before for before, after in pairwise(values)]


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)


class _MeasuredCoordinator:
    """A process of ``measured_coordinator.py``."""

    def __init__(self, settings: Settings, url: str, name: str) -> None:
        self._file = settings.home / f"{name}.json"
        self._url = url
        self._log = (settings.home / f"{name}.log").open("w")
        script = Path(__file__).with_name("measured_coordinator.py")
        self._process = subprocess.Popen(
            [sys.executable, str(script), str(self._file)],
            stdout=self._log,
            stderr=self._log,
            env={
                **os.environ,
                "AFX_HOME": str(settings.home),
                "AFX_REDIS_URL": url,
                "AFX_DATABASE_URL": settings.database,
            },
        )

    def leads(self) -> bool:
        """Return whether it is the leader."""
        client = connect(self._url)
        holder = str(client.get(keys.LEADER) or "")
        client.close()
        return f":{self._process.pid}:" in holder

    def begin_window(self) -> None:
        """Count ticks from now on."""
        self._file.unlink(missing_ok=True)
        self._process.send_signal(signal.SIGUSR1)

    def ticks_so_far(self) -> list[tuple[float, float]]:
        """Return the ticks of the window: seconds, and seconds of CPU time."""
        self._process.send_signal(signal.SIGUSR2)
        wait_until(self._file.exists, what="the ticks are written", seconds=10)
        ticks: list[tuple[float, float]] = json.loads(self._file.read_text())["ticks"]
        return ticks

    def end(self) -> dict[str, Any]:
        """End it, and return what it has measured."""
        self._process.terminate()
        self._process.wait(30)
        found: dict[str, Any] = json.loads(self._file.read_text())
        return found

    def kill(self) -> None:
        """Kill it, if it still runs."""
        self._process.kill()
        self._process.wait()
        self._log.close()


def _add_sessions(count: int) -> dict[str, dict[int, int]]:
    """Add sessions that run, as SQL says; returns node → session → epoch."""
    names = [f"w{number + 1}" for number in range(max(5, count // _SESSIONS_PER_NODE))]
    owned: dict[str, dict[int, int]] = {it: {} for it in names}
    epoch = cluster.begin_generation(1) << 32
    owner = users.create("bench")
    for start in range(0, count, _PART):
        part = range(start, min(start + _PART, count))
        ids = sessions.create_many(owner, [NewSession(f"s{it}", "x" * 460) for it in part])
        rules.create_many([NewRule(it, "r", ["@source"], ["@copies"]) for it in ids])
        revisions = {it.id: it.revision for it in placing.unplaced(_PART, ids)}
        actives = []
        for it in ids:
            name = names[it % len(names)]
            owned[name][it] = epoch + it
            actives.append(Active(it, name, f"{name}-1", epoch + it, "assigned", revisions[it]))
        with base.transaction():
            assignments.create_many(actives)
            assignments.mark_running([(it.session, it.epoch) for it in actives])
    return owned


def _add_cursors(url: str, count: int) -> None:
    client = connect(url)
    pipe = client.pipeline(transaction=False)
    for number in range(1, count + 1):
        pipe.hset(keys.cursor(number), "account", "1:0:1")
        if number % 10_000 == 0:
            pipe.execute()
    pipe.execute()
    client.close()


def _wait_settled(url: str, nodes: SimulatedNodes) -> None:
    """Wait until everything is ordered anew, and all that was reported is read."""
    client = connect(url)

    def is_settled() -> bool:
        return nodes.all_ordered() and _reports_are_read(client)

    _wait(is_settled, "the leader has taken over")
    client.close()


def _has_sessions(node: str) -> bool:
    return any(it.worker == node for it in assignments.active())


def _reports_are_read(client: Any) -> bool:
    last = str(client.xinfo_stream(keys.REPORTS)["last-generated-id"])
    return cluster.reports_read(str(client.info("server")["run_id"])) == last


def _wait(done: Callable[[], bool], what: str) -> None:
    wait_until(done, what=what, seconds=600, poll_seconds=0.2)
