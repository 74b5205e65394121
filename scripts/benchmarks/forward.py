"""An afx node against a bare Telethon script: messages a second, latency, and CPU time.

Many messages share a packet in a burst. The last rounds therefore spread the same rate over
many sessions, so that each packet has one message. The sandbox, the driver and Redis share
the machine with either of them: on two cores their CPU time says more than their throughput.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
from common import Target, report

from afx.lab.accounts import LabSession
from afx.lab.cluster import LabCluster, temporary_settings

NAME = "forward"
_PEER = "--peer"


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--messages", type=int, default=8000, help="posts of a throughput round")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, the two taking turns")
    parser.add_argument("--pairs", type=int, default=1, help="source and destination pairs")
    parser.add_argument("--rate", type=float, default=200, help="posts a second for latency")
    parser.add_argument("--seconds", type=float, default=10, help="length of a latency round")
    parser.add_argument("--spread", type=int, default=500, help="sessions of a spread round")
    parser.add_argument("--spread-rate", type=float, default=1000, help="its posts a second")


def run(flags: argparse.Namespace) -> None:
    """Let both forward the same streams on one sandbox, taking turns."""
    rows: list[dict[str, Any]] = []
    variables = {"AFX_STARTS_PER_SECOND": "500", "AFX_START_BURST": "500"}
    with tempfile.TemporaryDirectory(prefix="afx-bench-") as home:
        with LabCluster(temporary_settings(Path(home)), variables=variables) as lab:
            ours = lab.add_sessions(flags.pairs)
            lab.processes.start_coordinator()
            lab.processes.start_nodes(1)
            lab.wait_running()
            rows += _take_turns(lab, ours, flags.pairs, flags.rounds, _burst(lab, flags))
            spread = lab.add_sessions(flags.spread)
            lab.wait_running()
            rows += _take_turns(lab, spread, flags.spread, 1, _spread(lab, flags))
    targets = [
        Target(
            "messages/s, ratio to bare Telethon",
            _ratio(rows, "messages_per_s"),
            2.0,
            "at least",
        ),
        Target("p50 latency, ratio to bare Telethon", _ratio(rows, "p50_ms"), 0.8, "at most"),
        Target(
            "CPU time of a message in a burst, ratio to bare Telethon",
            _ratio(rows, "burst_cpu_ms_per_1000"),
            0.35,
            "at most",
        ),
    ]
    report(NAME, rows, targets, as_json=flags.json)


_Play = Callable[[str, list[LabSession], Sequence[psutil.Process]], dict[str, Any]]


def _take_turns(
    lab: LabCluster, ours: list[LabSession], count: int, rounds: int, play: _Play
) -> list[dict[str, Any]]:
    """Play rounds with afx and with as many sessions of bare Telethon."""
    rows: list[dict[str, Any]] = []
    theirs = _peer_sessions(lab, count)
    for _ in range(rounds):
        rows.append(play("afx node", ours, lab.process_tree("w1")))
        peer = _start_peer(theirs)
        try:
            sessions = [it for it, _ in theirs]
            rows.append(play("bare Telethon", sessions, [psutil.Process(peer.pid)]))
        finally:
            peer.terminate()
            peer.wait()
    return rows


def _ratio(rows: list[dict[str, Any]], figure: str) -> float:
    """Return the median over the rounds of afx's figure by its peer's beside it."""
    having = [row for row in rows if figure in row]
    ours = [row[figure] for row in having if row["client"] == "afx node"]
    theirs = [row[figure] for row in having if row["client"] != "afx node"]
    return round(float(statistics.median(a / b for a, b in zip(ours, theirs, strict=True))), 3)


def _burst(lab: LabCluster, flags: argparse.Namespace) -> _Play:
    """Return a round: all posts at once, then some at a steady rate."""

    def play(
        client: str, chosen: list[LabSession], processes: Sequence[psutil.Process]
    ) -> dict[str, Any]:
        lab.sandbox.call("forget_routes")
        lab.expect_copies(chosen)
        before, had = _cpu_seconds(processes), _sent(lab)
        begun, served = time.monotonic(), _sandbox_cpu_seconds(lab)
        lab.post(flags.messages, 1_000_000, chosen)
        # Not by the judge: at each look it would take as much of the sandbox as the copies do.
        while _sent(lab) < had + flags.messages and time.monotonic() - begun < 120:
            time.sleep(0.02)
        cpu, served = _cpu_seconds(processes) - before, _sandbox_cpu_seconds(lab) - served
        spent = lab.sandbox.call("span")
        full = lab.judge()
        lab.sandbox.call("forget_routes")
        lab.expect_copies(chosen)
        lab.post(int(flags.rate * flags.seconds), flags.rate, chosen)
        paced = lab.wait_delivered(flags.seconds + 30)
        return {
            "client": client,
            "round": "burst",
            "messages_per_s": round(full.delivered / spent),
            "burst_cpu_ms_per_1000": round(cpu * 1e6 / max(1, full.delivered)),
            "sandbox_cpu_ms_per_1000": round(served * 1e6 / max(1, full.delivered)),
            "p50_ms": paced.latency_ms.p50,
            "p99_ms": paced.latency_ms.p99,
            "lost": full.lost + paced.lost,
            "duplicated": full.duplicated + paced.duplicated,
            "out_of_order": full.out_of_order + paced.out_of_order,
        }

    return play


def _spread(lab: LabCluster, flags: argparse.Namespace) -> _Play:
    """Return a round: a steady rate over many sessions, one message in each packet."""

    def play(
        client: str, chosen: list[LabSession], processes: Sequence[psutil.Process]
    ) -> dict[str, Any]:
        lab.sandbox.call("forget_routes")
        lab.expect_copies(chosen)
        before = _cpu_seconds(processes)
        lab.post(int(flags.spread_rate * flags.seconds), flags.spread_rate, chosen)
        found = lab.wait_delivered(flags.seconds + 60)
        cpu = _cpu_seconds(processes) - before
        return {
            "client": client,
            "round": f"spread over {len(chosen)} sessions",
            "spread_cpu_ms_per_1000": round(cpu * 1e6 / max(1, found.delivered)),
            "spread_p50_ms": found.latency_ms.p50,
            "spread_p99_ms": found.latency_ms.p99,
            "lost": found.lost,
            "duplicated": found.duplicated,
            "out_of_order": found.out_of_order,
        }

    return play


def _sent(lab: LabCluster) -> int:
    """Return how many messages clients have sent."""
    return int(lab.sandbox.call("sent"))


def _sandbox_cpu_seconds(lab: LabCluster) -> float:
    return float(lab.sandbox.call("info")["cpu_seconds"])


def _cpu_seconds(processes: Sequence[psutil.Process]) -> float:
    return float(sum(sum(it.cpu_times()[:2]) for it in processes))


def _peer_sessions(lab: LabCluster, count: int) -> list[tuple[LabSession, str]]:
    """Make accounts like afx's own, with their login strings, outside of afx."""
    made = []
    for account in lab.sandbox.call("provision", count=count):
        source, destination = lab.sandbox.call(
            "channels",
            channels=[
                {"title": "source", "members": [account["account"]]},
                {"title": "copies", "posters": [account["account"]]},
            ],
        )
        session = LabSession(0, "peer", account["account"], source["id"], destination["id"])
        made.append((session, account["login"]))
    return made


def _start_peer(sessions: list[tuple[LabSession, str]]) -> subprocess.Popen[str]:
    arguments = [f"{login},{it.source},{it.destination}" for it, login in sessions]
    peer = subprocess.Popen(
        [sys.executable, __file__, _PEER, *arguments], stdout=subprocess.PIPE, text=True
    )
    assert peer.stdout is not None
    peer.stdout.readline()
    return peer


async def _peer(arguments: list[str]) -> None:
    """The peer: what a careful user of Telethon writes, and nothing more."""
    from telethon import TelegramClient, events
    from telethon.sessions import StringSession

    clients = []
    for argument in arguments:
        login, source, destination = argument.rsplit(",", 2)
        client = TelegramClient(StringSession(login), 1, "sandbox")
        await client.connect()
        await client.get_dialogs()

        @client.on(events.NewMessage(chats=[int(source)]))  # type: ignore[untyped-decorator]
        async def copy(
            event: Any, client: TelegramClient = client, destination: int = int(destination)
        ) -> None:
            await client.send_message(destination, event.message.message)

        clients.append(client)
    print("ready", flush=True)
    await asyncio.gather(*(client.run_until_disconnected() for client in clients))


if __name__ == "__main__" and _PEER in sys.argv:
    asyncio.run(_peer(sys.argv[sys.argv.index(_PEER) + 1 :]))
