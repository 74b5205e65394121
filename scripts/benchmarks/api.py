"""The REST API over 100,000 sessions: answers at a rate, throughput, changes, streams, a page."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import chromium
import first_view
import psutil
from common import Target, percentile, report
from http_load import Connection, Taken, as_fast_as_possible, at_a_rate, request
from simulated_nodes import SimulatedNodes
from storage import database, fill

from afx.app import ProcessServers
from afx.config import load
from afx.local import private_redis
from afx.operations import tokens
from afx.operations.context import Actor
from models import base, schema

NAME = "api"
_RATE = 200.0


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sessions", type=int, default=100_000)
    parser.add_argument("--samples", type=int, default=1_000_000, help="rows of analytics")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--databases", default="sqlite,postgres")
    parser.add_argument("--nodes", type=int, default=100, help="that send heartbeats")
    parser.add_argument("--only", default="", help="parts with this in their names, and no more")
    parser.add_argument("--visits", type=int, default=10, help="to each page of the dashboard")
    parser.add_argument("--streams", type=int, default=200, help="clients that follow events")


def run(flags: argparse.Namespace) -> None:
    """Fill databases, and measure one API process on each beside nodes that send heartbeats."""
    rows: list[dict[str, Any]] = []
    targets: list[Target] = []
    if flags.only in first_view.NAME:
        chromium.program()  # fails before databases are filled
    for kind in flags.databases.split(","):
        home = Path(tempfile.mkdtemp(prefix="afx-bench-"))
        try:
            with database(kind, home, "afx") as url:
                _run(kind, home, url, flags, rows, targets)
        finally:
            private_redis.stop(home)
            shutil.rmtree(home, ignore_errors=True)
    report(NAME, rows, targets, as_json=flags.json)


def _run(
    kind: str,
    home: Path,
    url: str,
    flags: argparse.Namespace,
    rows: list[dict[str, Any]],
    targets: list[Target],
) -> None:
    with ProcessServers(load(home=home, database_url=url)) as servers:
        base.open_database(url)
        schema.upgrade()
        base.close_database()
        context = servers.context(Actor("bench"))
        token = tokens.create(context, "bench", scopes=["*"]).token
    base.close_database()
    fill(url, flags.sessions, flags.samples)
    private_redis.ensure(home)
    names: dict[str, dict[int, int]] = {f"w{n:03d}": {} for n in range(flags.nodes)}
    nodes = SimulatedNodes(private_redis.url_for(home), names, 5000)
    try:
        with _server(home, url, "-m", "cli.main", "api", "start", "--port", "{}") as server:
            found = _measure(*server, token, flags)
        if not flags.only:
            _measure_peer(home, url, token, flags, found[0])
    finally:
        nodes.close()
    rows += [{"what": it.pop("what"), "where": kind, **it} for it in found[0]]
    targets += [replace(it, name=f"{kind}: {it.name}") for it in found[1]]


def _measure_peer(
    home: Path, url: str, token: str, flags: argparse.Namespace, rows: list[dict[str, Any]]
) -> None:
    peer = str(Path(__file__).parent / "api_peer.py")
    with _server(home, url, peer, url, "{}") as (port, process):
        page = [request("GET", "/sessions?limit=20", token)]
        row, _ = _fastest(port, process, page, flags.seconds)
        rows.append({**row, "what": "peer: the page as def + ORM + response_model"})


def _measure(
    port: int, process: psutil.Process, token: str, flags: argparse.Namespace
) -> tuple[list[dict[str, Any]], list[Target]]:
    rows: list[dict[str, Any]] = []
    targets: list[Target] = []
    for name, requests in _reads(token, flags.sessions).items():
        if flags.only not in name:
            continue
        asyncio.run(at_a_rate(port, requests, per_second=50, seconds=0.5))
        before = _used(process)
        taken = asyncio.run(at_a_rate(port, requests, per_second=_RATE, seconds=flags.seconds))
        rows.append(_row(f"{name} at {_RATE:g}/s", taken, _used(process) - before))
        targets += [
            Target(f"{name}: median, ms", percentile(taken.times, 0.5), 5, "at most"),
            Target(f"{name}: p99, ms", percentile(taken.times, 0.99), 25, "at most"),
            Target(f"{name}: errors", taken.wrong, 0, "at most"),
        ]
    if flags.only in first_view.NAME:
        seen, wanted = first_view.measure(port, token, flags.visits)
        rows, targets = [*rows, *seen], [*targets, *wanted]
    if flags.only:
        return rows, targets
    page = [request("GET", "/api/v1/sessions?limit=20", token)]
    row, taken = _fastest(port, process, page, flags.seconds)
    rows.append(row)
    targets.append(Target("page of 20, requests/s", taken.per_second, 1_500, "at least"))
    changes = [
        request("PATCH", "/api/v1/users/1", token, body, ("if-match: *",))
        for body in (b'{"tier":"free"}', b'{"tier":"premium"}')
    ]
    before = _used(process)
    taken = asyncio.run(as_fast_as_possible(port, changes, connections=1, seconds=flags.seconds))
    rows.append(_row("change of a user", taken, _used(process) - before))
    median = Target("change: median, ms", percentile(taken.times, 0.5), 10, "at most")
    targets += [median, Target("change: errors", taken.wrong, 0, "at most")]
    share = asyncio.run(_streams(port, process, token, flags))
    rows.append({"what": f"{flags.streams} event streams", "core_share": round(share, 3)})
    targets.append(Target("event streams, share of a core", share, 0.05, "at most"))
    return rows, targets


def _fastest(
    port: int, process: psutil.Process, requests: list[bytes], seconds: float
) -> tuple[dict[str, Any], Taken]:
    before = _used(process)
    taken = asyncio.run(as_fast_as_possible(port, requests, connections=8, seconds=seconds))
    return _row("page of 20, as fast as possible", taken, _used(process) - before), taken


def _used(it: psutil.Process) -> float:
    """Return the seconds of a core that a process has taken."""
    return float(sum(it.cpu_times()[:2]))


def _reads(token: str, sessions: int) -> dict[str, list[bytes]]:
    chance = random.Random(1)

    def get(*paths: str) -> list[bytes]:
        return [request("GET", f"/api/v1{it}", token) for it in paths]

    some = [chance.randrange(1, sessions) for _ in range(300)]
    return {
        "page of 20 sessions": get("/sessions?limit=20"),
        "sessions of a node": get(*(f"/sessions?limit=20&node=w{it % 100:03d}" for it in some)),
        "sessions by prefix": get(*(f"/sessions?limit=20&prefix=s{it:06d}"[:-2] for it in some)),
        "one session": get(*(f"/sessions/{it}" for it in some)),
        "users": get("/users?limit=20"),
        "one user": get("/users/3"),
        "page of 20 rules": get("/rules?limit=20"),
        "nodes": get("/workers"),
        "overflow": get("/overflow?limit=20"),
        "controls": get("/controls?limit=20"),
        "audit": get("/audit?limit=20"),
        "status": get("/status"),
        "counts": get("/analytics/counts"),
        "series of a node": get("/analytics/series?hours=1&worker=w001&limit=100"),
    }


async def _streams(
    port: int, process: psutil.Process, token: str, flags: argparse.Namespace
) -> float:
    """Return the share of a core that streams take, beyond what the API takes without."""
    content = request("GET", "/api/v1/events", token, headers=("accept: text/event-stream",))
    opened = []
    for _ in range(flags.streams):
        connection = await Connection.to(port)
        connection.writer.write(content)
        await connection.reader.readuntil(b"\r\n\r\n")
        opened.append(connection)

    async def drop(connection: Connection) -> None:
        while await connection.reader.read(1 << 16):
            pass

    dropping = [asyncio.ensure_future(drop(it)) for it in opened]
    await asyncio.sleep(2)
    before, began = _used(process), time.perf_counter()
    await asyncio.sleep(flags.seconds * 2)
    share = (_used(process) - before) / (time.perf_counter() - began)
    for it in dropping:
        it.cancel()
    for connection in opened:
        connection.close()
    return share


def _row(what: str, taken: Taken, used: float) -> dict[str, Any]:
    return {
        "what": what,
        "requests_per_s": round(taken.per_second),
        "p50_ms": round(percentile(taken.times, 0.5) or 0, 2),
        "p99_ms": round(percentile(taken.times, 0.99) or 0, 2),
        "errors": taken.wrong,
        # What a request takes of a core: it says more than times on a machine that is busy.
        "cpu_ms": round(1000 * used / max(1, len(taken.times)), 2),
    }


@contextlib.contextmanager
def _server(home: Path, url: str, *arguments: str) -> Iterator[tuple[int, psutil.Process]]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = int(listening.getsockname()[1])
    environment = {k: v for k, v in os.environ.items() if not k.startswith("AFX_")}
    environment |= {"AFX_HOME": str(home), "AFX_WEB_REQUESTS_PER_SECOND": "0"}
    environment["AFX_DATABASE_URL"] = url
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    words = [it.format(port) if it == "{}" else it for it in arguments]
    process = subprocess.Popen(
        [sys.executable, *words], env=environment, stdout=subprocess.DEVNULL, stderr=sys.stderr
    )
    try:
        until = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            assert process.poll() is None and time.monotonic() < until, "the server did not start"
            time.sleep(0.05)
        yield port, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(10)
