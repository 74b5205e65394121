"""The sandbox alone: connected clients, and messages a second in one process."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

from common import Target, report

from afx.lab.cluster import LabCluster, temporary_settings

NAME = "sandbox"


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--clients", type=int, default=10_000, help="Telethon clients connected")
    parser.add_argument("--messages", type=int, default=20_000, help="posts of the stream")


def run(flags: argparse.Namespace) -> None:
    """Connect bare Telethon clients, and post a stream that is pushed to them."""
    with tempfile.TemporaryDirectory(prefix="afx-bench-") as home:
        with LabCluster(temporary_settings(Path(home))) as lab:
            accounts = lab.sandbox.call("provision", count=flags.clients)
            channels = lab.sandbox.call(
                "channels",
                channels=[{"title": "c", "members": [it["account"]]} for it in accounts],
            )
            result = asyncio.run(_measure(lab, accounts, channels, flags))
    row = {"client": "sandbox", **result}
    targets = [
        Target("clients connected at once", row["clients"], 10_000, "at least"),
        Target("messages/s (posted and pushed)", row["messages_per_s"], 5000, "at least"),
    ]
    report(NAME, [row], targets, as_json=flags.json)


async def _measure(
    lab: LabCluster, accounts: list[dict[str, Any]], channels: list[dict[str, Any]], flags: Any
) -> dict[str, Any]:
    from afx.devices import Device
    from afx.telegram.client import AccountClient, Pings
    from afx.telegram.session import StoredSession
    from afx.telegram.transport import guarded_connection

    received = 0

    def count(updates: Any) -> None:
        nonlocal received
        received += len(getattr(updates, "updates", ()))

    connection = guarded_connection(lambda: True, lambda _host, _port: True, 60.0)
    pings = Pings()
    clients = [
        AccountClient(
            StoredSession(it["login"], {}, {}),
            api_id=1,
            api_hash="sandbox",
            connection=connection,
            on_updates=count,
            device=Device("bench"),
            pings=pings,
        )
        for it in accounts
    ]
    gate = asyncio.Semaphore(64)

    async def connect(client: AccountClient) -> None:
        async with gate:
            await client.connect()

    begun = time.monotonic()
    await asyncio.gather(*(connect(it) for it in clients))
    took = time.monotonic() - begun
    before = await asyncio.to_thread(lab.sandbox.call, "info")
    begun = time.monotonic()
    chats = [[it["id"], 0] for it in channels]
    await asyncio.to_thread(
        lab.sandbox.call, "flow", chats=chats, count=flags.messages, rate=1_000_000
    )
    while received < flags.messages and time.monotonic() - begun < 120:
        await asyncio.sleep(0.02)
    spent = time.monotonic() - begun
    after = await asyncio.to_thread(lab.sandbox.call, "info")
    cpu = after["cpu_seconds"] - before["cpu_seconds"]
    return {
        "clients": after["connections"],
        "connected_per_s": round(len(clients) / took),
        "messages_per_s": round(received / spent),
        "server_cpu_ms_per_message": round(1000 * cpu / max(1, received), 3),
        "limit_by_server_cpu_per_s": round(received / cpu) if cpu else None,
        "server_rss_mib": round(after["rss"] / 2**20),
        "kib_per_client": round(after["rss"] / 1024 / max(1, after["connections"]), 1),
    }
