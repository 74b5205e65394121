"""An afx node against a bare Telethon script: messages a second, and latency."""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

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


def run(flags: argparse.Namespace) -> None:
    """Let both forward the same streams on one sandbox, taking turns."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="afx-bench-") as home:
        with LabCluster(temporary_settings(Path(home))) as lab:
            ours = lab.add_sessions(flags.pairs)
            lab.processes.start_coordinator()
            lab.processes.start_nodes(1)
            lab.wait_running()
            theirs = _peer_sessions(lab, flags.pairs)
            for number in range(flags.rounds):
                rows.append(_round(lab, "afx node", ours, flags, number))
                peer = _start_peer(theirs)
                try:
                    rows.append(
                        _round(lab, "bare Telethon", [it for it, _ in theirs], flags, number)
                    )
                finally:
                    peer.terminate()
                    peer.wait()
    targets = [
        Target(
            "messages/s, ratio to bare Telethon",
            _ratio(rows, "messages_per_s"),
            0.9,
            "at least",
        ),
        Target("p50 latency, ratio to bare Telethon", _ratio(rows, "p50_ms"), 1.3, "at most"),
    ]
    report(NAME, rows, targets, as_json=flags.json)


def _ratio(rows: list[dict[str, Any]], figure: str) -> float:
    """Return the median over the rounds of afx's figure by its peer's beside it."""
    ours = [row[figure] for row in rows if row["client"] == "afx node"]
    theirs = [row[figure] for row in rows if row["client"] != "afx node"]
    return round(statistics.median(a / b for a, b in zip(ours, theirs, strict=True)), 3)


def _round(
    lab: LabCluster, client: str, chosen: list[LabSession], flags: argparse.Namespace, number: int
) -> dict[str, Any]:
    lab.sandbox.call("forget_routes")
    lab.expect_copies(chosen)
    begun = time.monotonic()
    lab.post(flags.messages, 1_000_000, chosen)
    while lab.judge().lost or not lab.all_posted():
        if time.monotonic() - begun > 120:
            break
        time.sleep(0.02)
    spent = lab.sandbox.call("span")
    full = lab.judge()
    lab.sandbox.call("forget_routes")
    lab.expect_copies(chosen)
    lab.post(int(flags.rate * flags.seconds), flags.rate, chosen)
    paced = lab.wait_delivered(flags.seconds + 30)
    return {
        "client": client,
        "round": number + 1,
        "messages_per_s": round(full.delivered / spent),
        "p50_ms": paced.latency_ms.p50,
        "p99_ms": paced.latency_ms.p99,
        "lost": full.lost + paced.lost,
        "duplicated": full.duplicated + paced.duplicated,
        "out_of_order": full.out_of_order + paced.out_of_order,
    }


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

        @client.on(events.NewMessage(chats=[int(source)]))
        async def copy(
            event: Any, client: TelegramClient = client, destination: int = int(destination)
        ) -> None:
            await client.send_message(destination, event.message.message)

        clients.append(client)
    print("ready", flush=True)
    await asyncio.gather(*(client.run_until_disconnected() for client in clients))


if __name__ == "__main__" and _PEER in sys.argv:
    asyncio.run(_peer(sys.argv[sys.argv.index(_PEER) + 1 :]))
