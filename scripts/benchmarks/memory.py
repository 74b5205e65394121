"""The memory of a node while it forwards many messages, with loops, floods and an outage.

One session has a second destination that takes nothing for a while: its messages wait in an
outbox, and are sent when the outage ends. An hour of it, at 11 messages a second to that
destination, is 40,000 messages that wait: so many come here, at the rate of the benchmark,
while it tells to wait for a minute again and again. Two other sessions forward each other's
sources, and must not go round. In each part of the messages all destinations flood at first, so
that as much as may be is in flight. The memory is that of the node's host process, some seconds
after each part was delivered; during the outage, after all but the waiting was. With ``--rules``
each copy passes a filter and transforms, and filters of other rules refuse each message.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common import Target, broken_target, peak_mib, report
from forward_rules_plays import ACCEPTED, FOOTER, REFUSED, filter_of, transform_of

from afx.lab.accounts import LabSession
from afx.lab.cluster import LabCluster, temporary_settings
from models.storage import rules, sessions
from models.storage.rules import NewRule

NAME = "memory"
_SETTLE_SECONDS = 5.0
_MOST_SECONDS = 900.0
"""Of one part."""
_FLOOD_SECONDS = 4.0
_OUTAGE = {"kind": "refuse", "code": 420, "message": "FLOOD_WAIT_3", "count": 0}
_MIB = 1 << 20


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--messages",
        type=int,
        nargs="+",
        default=list(range(25_000, 200_001, 25_000)),
        help="after how many posts to measure",
    )
    parser.add_argument("--rate", type=float, default=1_500, help="posts a second at most")
    parser.add_argument(
        "--outage",
        type=int,
        nargs=2,
        default=(50_000, 150_000),
        help="after how many posts the outage begins and ends; both are of --messages",
    )

    parser.add_argument(
        "--rules",
        type=int,
        default=0,
        help="rules of each copying session, with filters and transforms; 0: plain copies",
    )


def run(flags: argparse.Namespace) -> None:
    """Post, wait until all is delivered, measure, and go on."""
    rows: list[dict[str, Any]] = []
    variables = {"AFX_STARTS_PER_SECOND": "500", "AFX_START_BURST": "500"}
    with tempfile.TemporaryDirectory(prefix="afx-bench-") as home:
        with LabCluster(temporary_settings(Path(home)), variables=variables) as lab:
            plain, ring = lab.add_sessions(2), lab.add_sessions(2)
            slow = _add_slow(lab, plain[0])
            left, right = _close_ring(lab, *ring)
            for it in plain if flags.rules else ():
                _add_rules(lab, it, flags.rules)
            lab.processes.start_coordinator()
            lab.processes.start_nodes(1)
            lab.wait_running()
            host = max(lab.process_tree("w1"), key=lambda it: it.memory_info().rss)
            chats = [[it, 0] for it in (*(plain[0].source, plain[1].source) * 4, left, right)]
            routes = [[it.source, it.destination, it.account] for it in plain]
            routes.append([plain[0].source, slow, plain[0].account])
            wrapped = f"{{}}\n{FOOTER}" if flags.rules else ""
            lab.sandbox.call("expect", routes=routes, wrapped=wrapped)
            posted, is_out = 0, False
            for wanted in flags.messages:
                was_out, is_out = is_out, flags.outage[0] < wanted <= flags.outage[1]
                if is_out and not was_out:
                    lab.sandbox.call("fault", chat=slow, **_OUTAGE)
                if was_out and not is_out:
                    lab.sandbox.call("no_faults")
                for chat in (*(it.destination for it in plain), left, right):
                    lab.sandbox.call("flood", seconds=_FLOOD_SECONDS, chat=chat)
                began = time.monotonic()
                lab.sandbox.call("flow", chats=chats, count=wanted - posted, rate=flags.rate)
                posted = wanted
                each = posted // len(chats)
                expected = {it.destination: 4 * each for it in plain} | {left: 2 * each}
                expected |= {right: 2 * each} | ({} if is_out else {slow: 4 * each})
                _wait_for(lab, expected)
                seconds = time.monotonic() - began
                time.sleep(_SETTLE_SECONDS)
                rows.append(
                    {
                        "messages": wanted,
                        "rss_mib": round(host.memory_info().rss / _MIB, 1),
                        "peak_mib": peak_mib(host),
                        "seconds": round(seconds),
                        "waiting": 4 * each - _count(lab, slow),
                        "beyond_ring": _newest(lab, left, right) - 2 * each,
                    }
                )
            verdict = lab.judge()
    growth = [round(it["rss_mib"] / rows[0]["rss_mib"], 3) for it in rows]
    waiting = max(it["waiting"] for it in rows)
    targets = [
        Target("RSS after the last part, ratio to the first", growth[-1], 1.05, "at most"),
        Target("RSS after any part, ratio to the first", max(growth), 1.05, "at most"),
        Target("messages that waited in the outage", waiting, 40_000, "at least"),
        Target("copies that went round", rows[-1]["beyond_ring"], 0, "at most"),
        broken_target("messages lost, doubled, altered or out of order", verdict),
    ]
    report(NAME, rows, targets, as_json=flags.json)


def _wait_for(lab: LabCluster, expected: Mapping[int, int]) -> None:
    """Wait until some chats have so many messages; not by the judge, whose work would grow."""
    until = time.monotonic() + _MOST_SECONDS
    while any(_count(lab, chat) < count for chat, count in expected.items()):
        if time.monotonic() > until:
            return
        time.sleep(1)


def _add_slow(lab: LabCluster, session: LabSession) -> int:
    """Add a second destination to a session; returns its id."""
    [slow] = lab.sandbox.call(
        "channels", channels=[{"title": "slow copies", "posters": [session.account]}]
    )
    owner = sessions.find(session.name)
    rules.create(owner, [str(session.source)], [str(slow["id"])], name="slow")
    return int(slow["id"])


def _add_rules(lab: LabCluster, session: LabSession, count: int) -> None:
    """Let a session's copies pass a filter and transforms, and other filters refuse them."""
    owner = sessions.find(session.name)
    for it in rules.for_sessions([owner.id])[owner.id]:
        rules.change(it, filter=filter_of(ACCEPTED), transform=transform_of(ACCEPTED))
    channel = {"title": "of refusing rules", "posters": [session.account]}
    [other] = lab.sandbox.call("channels", channels=[channel])
    rules.create_many(
        [
            NewRule(
                owner.id,
                f"refuses-{number}",
                [str(session.source)],
                [str(other["id"])],
                filter=filter_of(REFUSED),
                transform=transform_of(REFUSED),
            )
            for number in range(1, count)
        ]
    )


def _close_ring(lab: LabCluster, one: LabSession, other: LabSession) -> tuple[int, int]:
    """Let each of two sessions copy from one channel to another and back; returns both."""
    left, right = (
        int(it["id"])
        for it in lab.sandbox.call(
            "channels",
            channels=[
                {"title": "left", "members": [one.account], "posters": [other.account]},
                {"title": "right", "members": [other.account], "posters": [one.account]},
            ],
        )
    )
    for it, source, to in ((one, left, right), (other, right, left)):
        rules.create(sessions.find(it.name), [str(source)], [str(to)], name="ring")
    return left, right


def _newest(lab: LabCluster, *chats: int) -> int:
    """Return how many messages the fuller of some channels has."""
    return max(_count(lab, it) for it in chats)


def _count(lab: LabCluster, chat: int) -> int:
    return int(lab.sandbox.call("count", chat=chat))
