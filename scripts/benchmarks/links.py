"""Links: bytes of Redis for each, commits a second, and a replay of known messages."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from common import Target, report

from afx.cluster import keys
from afx.cluster.connection import connect_async
from afx.cluster.links import is_channel
from afx.forwarding.pipeline import Delivery
from afx.lab.accounts import LabSession
from afx.lab.cluster import LabCluster, temporary_settings
from afx.local import private_redis
from afx.node.committer import Committer
from afx.node.progress import Link, Progress

NAME = "links"
_CHANNEL = -1_001_000_000_000
_USER = 5_000_000_000
_INCARNATION = "bench"
_IN_A_COMMIT = 100
"""Links of one session in one commit: 1,000 messages a second, stored each 0.1 s."""
_SESSIONS_AT_ONCE = 20


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--links", type=int, default=400_000, help="links of each kind of chat")
    parser.add_argument("--replayed", type=int, default=100_000, help="known messages to replay")
    parser.add_argument("--sessions", type=int, default=4, help="sessions that replay them")


def run(flags: argparse.Namespace) -> None:
    """Commit links as a host does; then let a node replay messages that are all linked."""
    rows = [
        asyncio.run(_stored("channels", _CHANNEL, _CHANNEL - 1_000_000, 1, flags.links)),
        asyncio.run(_stored("one id in 7", _CHANNEL, _CHANNEL - 1_000_000, 7, flags.links)),
        asyncio.run(_stored("private, one id in 7", _USER, _USER + 1_000_000, 7, flags.links)),
        _replayed(flags.replayed, flags.sessions),
    ]
    stored, replayed = rows[0], rows[-1]
    targets = [
        Target("bytes a link, both ways, channels", stored["bytes_a_link"], 20, "at most"),
        Target("links committed/s", stored["links_per_s"], 50_000, "at least"),
        Target(f"s to replay {flags.replayed} known messages", replayed["s"], 20, "at most"),
        Target("sends of the replay", replayed["sends"], 0, "at most"),
    ]
    report(NAME, rows, targets, as_json=flags.json)


class _Session:
    """What a committer asks of a session."""

    def __init__(self, session_id: int) -> None:
        self.session_id = session_id
        self.epoch = 1
        self.progress = Progress([], [], {})

    def collect_uncommitted(self) -> Progress:
        return self.progress

    def put_back(self, _: Progress) -> None:
        raise RuntimeError("Redis has refused links")

    def note_committed(self) -> None:
        pass


async def _stored(what: str, source: int, to: int, step: int, count: int) -> dict[str, Any]:
    """Commit links of many sessions to an empty Redis; returns their size and speed."""
    with tempfile.TemporaryDirectory(prefix="afx-bench-") as home:
        private_redis.ensure(Path(home))
        url = private_redis.url_for(Path(home))
        client = connect_async(url)
        try:
            sessions = [_Session(number) for number in range(1, _SESSIONS_AT_ONCE + 1)]
            for it in sessions:
                owner: dict[Any, Any] = {"incarnation": _INCARNATION, "epoch": 1}
                await client.hset(keys.assignment(it.session_id), mapping=owner)
            committer = Committer(client, "bench", _INCARNATION, 30)
            await committer.commit(sessions)  # type: ignore[arg-type]
            before = (await client.info("memory"))["used_memory"]
            spent = 0.0
            for first in range(0, count // len(sessions), _IN_A_COMMIT):
                for it in sessions:
                    links = _links(it.session_id, source, to, first, step)
                    it.progress = Progress(["account", f"{first}:0:1"], links, {})
                begun = time.perf_counter()
                await committer.commit(sessions)  # type: ignore[arg-type]
                spent += time.perf_counter() - begun
            used = (await client.info("memory"))["used_memory"] - before
        finally:
            await client.aclose()
            private_redis.stop(Path(home))
    return {
        "what": what,
        "links": count,
        "bytes_a_link": round(used / count, 2),
        "links_per_s": round(count / spent),
    }


def _links(session: int, source: int, to: int, first: int, step: int) -> list[Link]:
    sign = -1 if is_channel(source) else 1
    return [
        Link(
            _delivery(session, source + sign * session, number * step + 1, to + sign * session),
            number + 1,
        )
        for number in range(first, first + _IN_A_COMMIT)
    ]


def _delivery(rule: int, source: int, message: int, to: int) -> Delivery:
    return Delivery(rule, "copy", source, message, to, 1, "", (), False)


def _replayed(count: int, sessions: int) -> dict[str, Any]:
    """Let a node start sessions behind messages whose links are all stored."""
    with tempfile.TemporaryDirectory(prefix="afx-bench-") as home:
        with LabCluster(temporary_settings(Path(home))) as lab:
            chosen = lab.add_sessions(sessions)
            lab.processes.start_coordinator()
            lab.processes.start_nodes(1)
            lab.wait_running()
            [node] = lab.nodes()
            lab.processes.terminate(node.name)
            lab.processes.wait_for_end(node.name)
            lab.post(count, 1_000_000, chosen)
            lab.wait("all is posted", lab.all_posted, 300)
            _link_all(lab, chosen, count // sessions)
            sent = lab.judge().sent
            lab.processes.start_nodes(1, first=2)
            lab.wait_running()
            begun = time.monotonic()
            last = str(count // sessions)
            lab.wait("all is replayed", lambda: _all_at(lab, chosen, last), 120)
            spent = time.monotonic() - begun
            return {
                "what": "replay",
                "links": count,
                "s": round(spent, 2),
                "links_per_s": round(count / spent),
                "sends": lab.judge().sent - sent,
            }


def _link_all(lab: LabCluster, chosen: Sequence[LabSession], count: int) -> None:
    """Store a link of each message, as the owner of the sessions would have."""
    rules = _rules(chosen)

    async def commit() -> None:
        client = connect_async(lab.redis_url)
        for it in chosen:
            session = _Session(it.id)
            owner = keys.assignment(it.id)
            kept: Any = await client.hgetall(owner)
            await client.hset(owner, mapping={"incarnation": _INCARNATION, "epoch": 1})
            deliveries = (
                _delivery(rules[it.id], it.source, number, it.destination)
                for number in range(1, count + 1)
            )
            session.progress = Progress([], [Link(each, each.message) for each in deliveries], {})
            await Committer(client, "bench", _INCARNATION, 30).commit([session])  # type: ignore[list-item]
            await client.hset(owner, mapping=kept)
        await client.aclose()

    asyncio.run(commit())


def _rules(chosen: Sequence[LabSession]) -> dict[int, int]:
    from models.storage import rules

    found = rules.for_sessions([it.id for it in chosen])
    return {session: its_rules[0].id for session, its_rules in found.items()}


def _all_at(lab: LabCluster, chosen: Sequence[LabSession], last: str) -> bool:
    return all(it == last for it in _positions(lab, chosen))


def _positions(lab: LabCluster, chosen: Sequence[LabSession]) -> Iterator[Any]:
    for it in chosen:
        yield lab.redis.hget(keys.cursor(it.id), f"last:{it.source}")
