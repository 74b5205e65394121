"""RAM per live session on one host, and per one that hibernates, against a process per account."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from common import Target, report

from afx.lab.cluster import LabCluster, temporary_settings

NAME = "density"
_PEER, _ASLEEP = "--peer", "--asleep-records"
_KIB = 1024


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sessions", type=int, default=5000, help="sessions on one node")
    parser.add_argument("--peers", type=int, default=5, help="processes of one account each")
    parser.add_argument("--asleep", type=int, default=50_000, help="sessions that hibernate")
    parser.add_argument("--settle", type=float, default=10, help="seconds before measuring")


def run(flags: argparse.Namespace) -> None:
    """Fill one node, and run some accounts in a process each, on one sandbox."""
    rows: list[dict[str, Any]] = []
    variables = {
        "AFX_STARTS_PER_SECOND": "2000",
        "AFX_START_BURST": "2000",
        "AFX_MAX_SESSIONS": str(max(5000, flags.sessions)),
    }
    with tempfile.TemporaryDirectory(prefix="afx-bench-") as home:
        with LabCluster(temporary_settings(Path(home)), variables=variables) as lab:
            lab.processes.start_coordinator()
            lab.processes.start_nodes(1)
            lab.wait_nodes(1)
            time.sleep(2)
            supervisor, host = lab.process_tree("w1")[:2]
            empty = host.memory_info().rss
            begun = time.monotonic()
            lab.add_sessions(flags.sessions)
            lab.wait_running(seconds=240)
            took = time.monotonic() - begun
            time.sleep(flags.settle)
            full = host.memory_info().rss
            supervisor_rss = supervisor.memory_info().rss
            # A message to each session shows that it works.
            lab.expect_copies()
            lab.post(flags.sessions, 500)
            verdict = lab.wait_delivered(flags.sessions / 500 + 60)
            busy = host.memory_info().rss
            peers = _peers(lab, flags.peers)
    each = (full - empty) / flags.sessions
    whole = (full + supervisor_rss) / flags.sessions
    rows.append(
        {
            "client": "afx: one host process",
            "sessions": flags.sessions,
            "rss_mib": round(full / 2**20, 1),
            "kib_per_session": round(each / _KIB, 1),
            "kib_with_host_and_supervisor": round(whole / _KIB, 1),
            "kib_after_traffic": round((busy - empty) / flags.sessions / _KIB, 1),
            "started_per_s": round(flags.sessions / took),
            "copies": verdict.delivered,
            "lost": verdict.lost,
        }
    )
    rows.append(
        {
            "client": "one process per account",
            "sessions": flags.peers,
            "rss_mib": round(peers / 2**20, 1),
            "kib_per_session": round(peers / flags.peers / _KIB, 1),
        }
    )
    asleep = _asleep(flags.asleep)
    rows.append(
        {
            "client": "afx: run once, and hibernates",
            "sessions": flags.asleep,
            "rss_mib": round(asleep / 2**20, 1),
            "kib_per_session": round(asleep / flags.asleep / _KIB, 2),
        }
    )
    targets = [
        Target(
            "bytes of a node's RSS per session that hibernates",
            round(asleep / flags.asleep),
            400,
            "at most",
        ),
        Target("KiB of RSS per live session", round(whole / _KIB, 1), 48, "at most"),
        Target(
            "times fewer bytes per session than one process per account",
            round(peers / flags.peers / whole, 1),
            1000,
            "at least",
        ),
    ]
    report(NAME, rows, targets, as_json=flags.json)


def _asleep(count: int) -> int:
    """Return the RSS, in a process of its own, of what a host keeps of sessions that it ran.

    A host that never ran a session keeps nothing of it.
    """
    done = subprocess.run(
        [sys.executable, __file__, _ASLEEP, str(count)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return int(done.stdout)


def _asleep_rss(count: int) -> int:
    from afx.node.residents import Residents

    residents: Residents[object] = Residents()
    before = psutil.Process().memory_info().rss
    for session_id in range(1, count + 1):
        epoch = (7 << 32) + session_id
        residents.order_start(session_id, epoch)
        record = residents.get(session_id)
        assert record is not None
        residents.started(record)
        residents.order_stop(session_id, epoch)
        residents.ended(record)
    return int(psutil.Process().memory_info().rss - before)


def _peers(lab: LabCluster, count: int) -> int:
    """Return the RSS of as many processes, of one bare Telethon client each."""
    running = []
    for account in lab.sandbox.call("provision", count=count):
        running.append(
            subprocess.Popen(
                [sys.executable, __file__, _PEER, account["login"]],
                stdout=subprocess.PIPE,
                text=True,
            )
        )
    total = 0
    for process in running:
        assert process.stdout is not None
        process.stdout.readline()
        total += psutil.Process(process.pid).memory_info().rss
    for process in running:
        process.terminate()
        process.wait()
    return total


async def _peer(login: str) -> None:
    from telethon import TelegramClient, events
    from telethon.sessions import StringSession

    client = TelegramClient(StringSession(login), 1, "sandbox")
    client.add_event_handler(lambda _: None, events.NewMessage())
    await client.connect()
    await client.get_dialogs()
    print("ready", flush=True)
    await client.run_until_disconnected()


if __name__ == "__main__" and _ASLEEP in sys.argv:
    print(_asleep_rss(int(sys.argv[-1])))
elif __name__ == "__main__" and _PEER in sys.argv:
    import asyncio

    asyncio.run(_peer(sys.argv[-1]))
