"""The memory of a node while it forwards many messages, with loops, floods and an outage.

One session has a destination that takes nothing for a while: its messages wait in an outbox.
Two others forward each other's sources, and must not go round. In each part of the messages all
destinations flood at first, so that as much as may be is in flight. The memory is that of the
node's host process, some seconds after each part was delivered.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from common import Target, broken_target, report

from afx.lab.accounts import LabSession
from afx.lab.cluster import LabCluster, temporary_settings
from afx.sandbox.judge.verdict import Verdict
from models.storage import rules, sessions

NAME = "memory"
_SETTLE_SECONDS = 5.0
_MOST_SECONDS = 900.0
"""Of one part."""
_FLOOD_SECONDS = 10.0
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
    parser.add_argument("--outage", type=float, default=60, help="seconds of each outage")


def run(flags: argparse.Namespace) -> None:
    """Post, wait until all is delivered, measure, and go on."""
    rows: list[dict[str, Any]] = []
    variables = {"AFX_STARTS_PER_SECOND": "500", "AFX_START_BURST": "500"}
    with tempfile.TemporaryDirectory(prefix="afx-bench-") as home:
        with LabCluster(temporary_settings(Path(home)), variables=variables) as lab:
            plain, ring = lab.add_sessions(2), lab.add_sessions(2)
            slow = _add_slow(lab, plain[0])
            left, right = _close_ring(lab, *ring)
            lab.processes.start_coordinator()
            lab.processes.start_nodes(1)
            lab.wait_running()
            host = max(lab.process_tree("w1"), key=lambda it: it.memory_info().rss)
            chats = [[it, 0] for it in (*(plain[0].source, plain[1].source) * 4, left, right)]
            posted, verdicts = 0, []
            for wanted in flags.messages:
                # The judge's work would grow with all that was ever promised.
                lab.sandbox.call("forget_routes")
                lab.expect_copies(plain)
                lab.sandbox.call("expect", routes=[[plain[0].source, slow, plain[0].account]])
                for chat in (*(it.destination for it in plain), left, right):
                    lab.sandbox.call("flood", seconds=_FLOOD_SECONDS, chat=chat)
                lab.sandbox.call("flood", seconds=flags.outage, chat=slow)
                lab.sandbox.call("flow", chats=chats, count=wanted - posted, rate=flags.rate)
                posted = wanted
                began = time.monotonic()
                verdicts.append(_delivered(lab, began))
                in_ring = 2 * (posted // len(chats))
                lab.wait("the ring is done", lambda: _newest(lab, left, right) >= in_ring, 300)  # noqa: B023
                seconds = time.monotonic() - began
                time.sleep(_SETTLE_SECONDS)
                rows.append(
                    {
                        "messages": wanted,
                        "rss_mib": round(host.memory_info().rss / _MIB, 1),
                        "peak_mib": _peak_mib(host),
                        "seconds": round(seconds),
                        "delivered": verdicts[-1].delivered,
                        "beyond_ring": _newest(lab, left, right) - in_ring,
                    }
                )
    growth = rows[-1]["rss_mib"] / rows[0]["rss_mib"]
    targets = [
        Target("RSS after the last part, ratio to the first", round(growth, 3), 1.05, "at most"),
        Target("copies that went round", rows[-1]["beyond_ring"], 0, "at most"),
        broken_target("messages lost, doubled, altered or out of order", *verdicts),
    ]
    report(NAME, rows, targets, as_json=flags.json)


def _delivered(lab: LabCluster, began: float) -> Verdict:
    """Wait until no copy is missing; the judge is asked seldom, since it costs CPU."""
    while True:
        time.sleep(2)
        verdict = lab.judge()
        if (lab.all_posted() and not verdict.lost) or time.monotonic() - began > _MOST_SECONDS:
            return verdict


def _add_slow(lab: LabCluster, session: LabSession) -> int:
    """Add a second destination to a session; returns its id."""
    [slow] = lab.sandbox.call(
        "channels", channels=[{"title": "slow copies", "posters": [session.account]}]
    )
    owner = sessions.find(session.name)
    rules.create(owner, [str(session.source)], [str(slow["id"])], name="slow")
    return int(slow["id"])


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
    low, high = 0, 1 << 20
    while low < high:  # ids have no gaps
        middle = (low + high) // 2
        if lab.sandbox.call("messages", chat=chat, after=middle, most=1):
            low = middle + 1
        else:
            high = middle
    return low


def _peak_mib(process: psutil.Process) -> float:
    """Return the largest RSS that a process has ever had."""
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return round(int(line.split()[1]) / 1024, 1)
    return 0.0
