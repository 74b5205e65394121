"""A sender pool: how long its lane pauses while one account has to wait, and when nodes die."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from common import Target, report

from afx.cluster import keys
from afx.lab.accounts import LabSession
from afx.lab.cluster import LabCluster, temporary_settings
from models.storage import assignments, rules

NAME = "pool"
_MOST_ROWS = 100_000
# Two of three nodes that die within 30 s are most of them: the brake would hold placement, and
# its time would be measured. Each loss is measured alone.
_UNBRAKED = {"AFX_BRAKE_HOLD_SECONDS": "0"}


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--senders", type=int, default=3, help="sessions that post")
    parser.add_argument("--workers", type=int, default=3, help="worker nodes")
    parser.add_argument("--rate", type=float, default=20.0, help="posts a second")
    parser.add_argument("--wait", type=float, default=30.0, help="seconds that one has to wait")
    parser.add_argument("--kill", action="store_true", help="kill nodes of sender and owner, too")


def run(flags: argparse.Namespace) -> None:
    """Let the account that posts wait; what source and destination have is compared."""
    with tempfile.TemporaryDirectory(prefix="afx-bench-") as home:
        with LabCluster(temporary_settings(Path(home)), variables=_UNBRAKED) as lab:
            rule, source, destination = _pool(lab, flags.senders)
            lab.processes.start_coordinator()
            lab.processes.start_nodes(flags.workers)
            lab.wait_nodes(flags.workers)
            lab.wait_running(seconds=120)
            rows = [_phase(lab, flags, "no wait", source, destination, rule)]
            rows.append(_phase(lab, flags, "one waits", source, destination, rule))
            for who in ("sender", "owner") if flags.kill else ():
                rows.append(
                    _phase(lab, flags, f"node of the {who} dies", source, destination, rule)
                )
            wrong = _compared(_rows(lab, source), _rows(lab, destination))
    targets = [
        Target("gap while one waits, s", rows[1]["gap_s"], 1.0, "at most"),
        *(Target(name, count, 0, "at most") for name, count in wrong.items()),
    ]
    report(NAME, rows, targets, as_json=flags.json)


def _pool(lab: LabCluster, count: int) -> tuple[int, int, int]:
    """Give one session a rule with the others as senders; returns rule, source, destination."""
    owner, *senders = lab.add_sessions(count + 1)
    channel = {"title": "of the pool", "posters": [it.account for it in senders]}
    [made] = lab.sandbox.call("channels", channels=[channel])
    for it in senders:
        rules.remove(rules.find(f"{it.name}/copy"))
    rule = rules.find(f"{owner.name}/copy")
    names = [it.name for it in senders]
    rules.change(rule, destinations=[str(made["id"])], options={"senders": names})
    return rule.id, owner.source, int(made["id"])


def _phase(
    lab: LabCluster,
    flags: argparse.Namespace,
    name: str,
    source: int,
    destination: int,
    rule: int,
) -> dict[str, Any]:
    """Post for some seconds, and let something happen after the first ones."""
    before = len(_rows(lab, destination))
    seconds = 10.0 if name == "no wait" else max(20.0, flags.wait / 2)
    count = int(flags.rate * seconds)
    lab.sandbox.call("flow", chats=[[source, 0]], count=count, rate=flags.rate)
    lab.wait("it has begun", lambda: len(_rows(lab, destination)) > before + 20, 60)
    sender = _sender(lab, rule, destination)
    if name == "one waits":
        lab.sandbox.call("flood", seconds=flags.wait, account=sender.account)
    elif name != "no wait":
        victim = sender.id if "sender" in name else lab.sessions[0].id
        node = next(it.worker for it in assignments.active() if it.session == victim)
        lab.kill_node(node)
    lab.wait("all has arrived", lambda: len(_rows(lab, destination)) >= before + count, 180)
    time.sleep(1.0)  # a copy too many would come now
    copies = _rows(lab, destination)[before:]
    return {
        "phase": name,
        "posted": count,
        "copies": len(copies),
        "senders": len({it["sender"] for it in copies}),
        "gap_s": round(max(b["sent_at"] - a["sent_at"] for a, b in pairwise(copies)), 3),
    }


def _sender(lab: LabCluster, rule: int, destination: int) -> LabSession:
    """Return the session that posts now."""
    number = int(str(lab.redis.hget(keys.pool(rule, destination), "sender")))
    return next(it for it in lab.sessions if it.id == number)


def _rows(lab: LabCluster, chat: int) -> list[dict[str, Any]]:
    return list(lab.sandbox.call("messages", chat=chat, most=_MOST_ROWS))


def _compared(
    source: Sequence[dict[str, Any]], destination: Sequence[dict[str, Any]]
) -> dict[str, int]:
    """Return how many messages were lost, doubled and out of order."""
    posted, copied = [it["text"] for it in source], Counter(it["text"] for it in destination)
    places = {text: place for place, text in enumerate(posted)}
    order = [places[it["text"]] for it in destination if it["text"] in places]
    return {
        "lost": sum(it not in copied for it in posted),
        "doubled": sum(copied.values()) - len(copied),
        "out of order": sum(b < a for a, b in pairwise(order)),
    }
