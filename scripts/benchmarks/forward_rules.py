"""Rules with filters and transforms, against a bare Telethon script that does the same.

One account each, on one sandbox, taking turns: twenty rules; many updates that concern no rule;
one source to many destinations. The peer has a handler for each rule, as its users write it.
Edits are measured without a peer: no such script follows them.

tgcf runs beside them with ``--tgcf PYTHON``, for plain copies and for the twenty rules. Its newest
release (1.1.8) asks for Telethon 1.26.0, which speaks a layer that the sandbox refuses; with the
Telethon of this project it runs unchanged: ``pip install --no-deps tgcf`` in an environment of its
own, then what it imports.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
from common import Target, broken_target, percentile, report
from forward_rules_plays import FANOUT, FOOTER, KINDS, Play, plain, replace_rules

from afx.errors import AfxError
from afx.lab.cluster import LabCluster, temporary_settings
from afx.sandbox.judge.verdict import Verdict

NAME = "forward-rules"
_PEER = Path(__file__).with_name("forward_rules_peer.py")
_TGCF = Path(__file__).with_name("forward_rules_tgcf.py")
_FOR_TGCF = ("plain", "rules")
"""Its plug-ins are the same for all rules, and it sends to one destination after another."""
_MOST_SECONDS = 120.0
_EDITS = "edits"


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--part", action="append", choices=[*KINDS, _EDITS], help="measure this only; repeatable"
    )
    parser.add_argument("--tgcf", metavar="PYTHON", help="a Python that has tgcf, to run it, too")
    parser.add_argument("--messages", type=int, default=6000, help="posts of a burst")
    parser.add_argument("--rounds", type=int, default=2, help="rounds, the two taking turns")
    parser.add_argument("--rate", type=float, default=200, help="posts a second for latency")
    parser.add_argument("--seconds", type=float, default=4, help="length of a latency round")
    parser.add_argument("--edits", type=int, default=300, help="edits, 50 a second")


def run(flags: argparse.Namespace) -> None:
    """Let both forward the same streams by the same rules."""
    rows: list[dict[str, Any]] = []
    verdicts: list[Verdict] = []
    with tempfile.TemporaryDirectory(prefix="afx-bench-") as home:
        with LabCluster(temporary_settings(Path(home))) as lab:
            kinds = [it for it in KINDS if it in (flags.part or KINDS)]
            *chosen, followed = lab.add_sessions(len(kinds) + 1)
            ours = dict(zip(kinds, chosen, strict=True))
            plays = {kind: KINDS[kind](lab, it.account) for kind, it in ours.items()}
            for kind, it in ours.items():
                replace_rules(it, plays[kind])
            edited = plain(lab, followed.account)
            replace_rules(followed, edited, sync=[_EDITS])
            lab.processes.start_coordinator()
            lab.processes.start_nodes(1)
            lab.wait_running()
            for kind, it in ours.items():
                login, account = _an_account(lab)
                peer = KINDS[kind](lab, account)
                for _ in range(flags.rounds):
                    tree = lab.process_tree("w1")
                    rows.append(_round(lab, "afx node", plays[kind], it.account, tree, flags))
                    with _peer(sys.executable, _PEER, login, peer) as tree:
                        rows.append(_round(lab, "bare Telethon", peer, account, tree, flags))
                verdicts += [it.pop("verdict") for it in rows if "verdict" in it]
                if flags.tgcf and kind in _FOR_TGCF:
                    login, account = _an_account(lab)
                    peer = KINDS[kind](lab, account)
                    with _peer(flags.tgcf, _TGCF, login, peer) as tree:
                        rows.append(_round(lab, "tgcf", peer, account, tree, flags))
                    del rows[-1]["verdict"]
            if _EDITS in (flags.part or [_EDITS]):
                rows.append(_edits(lab, edited, flags.edits))
    report(NAME, rows, [*_targets(rows, verdicts)], as_json=flags.json)


def _targets(rows: list[dict[str, Any]], verdicts: Sequence[Verdict]) -> Iterator[Target]:
    """Return the targets of the parts that were measured."""
    measured = {it["round"] for it in rows}
    if "rules" in measured:
        yield _ratio(rows, "rules", "messages_per_s", 1.5, "at least")
        yield _ratio(rows, "rules", "p99_ms", 1.5, "at most")
    if "unmatched" in measured:
        yield _ratio(rows, "unmatched", "messages_per_s", 4.0, "at least")
    if "fan-out" in measured:
        yield _ratio(rows, "fan-out", "copies_per_s", 1.5, "at least")
    if "plain" in measured:
        cpu = _ours(rows, "plain", "cpu_s")
        yield Target("CPU seconds of 1,000 plain copies", cpu, 0.12, "at most")
    if _EDITS in measured:
        yield Target("an edit follows, p50 in ms", rows[-1]["p50_ms"], 5.0, "at most")
    yield broken_target("messages lost, doubled, altered or out of order", *verdicts)


# --- rounds ------------------------------------------------------------------------------------


def _round(
    lab: LabCluster,
    client: str,
    play: Play,
    account: int,
    processes: Sequence[psutil.Process],
    flags: argparse.Namespace,
) -> dict[str, Any]:
    """Post all at once, then some at a steady rate."""
    posts = flags.messages // 10 if play.kind == "fan-out" else flags.messages
    posts -= posts % len(play.chats)
    wanted = round(posts * play.share)
    _promise(lab, play, account)
    before, had, begun = _cpu_seconds(processes), lab.sandbox.call("sent"), time.monotonic()
    _post(lab, play, posts, 1_000_000)
    while lab.sandbox.call("sent") < had + wanted and time.monotonic() - begun < _MOST_SECONDS:
        time.sleep(0.02)
    cpu, spent = _cpu_seconds(processes) - before, lab.sandbox.call("span")
    full = lab.judge()
    _promise(lab, play, account)
    rate = flags.rate / FANOUT if play.kind == "fan-out" else flags.rate
    _post(lab, play, int(rate * flags.seconds), rate)
    paced = lab.wait_delivered(flags.seconds + 30)
    return {
        "client": client,
        "round": play.kind,
        "messages_per_s": round(posts / spent),
        "copies_per_s": round(full.delivered / spent),
        "cpu_s": round(cpu * 1000 / max(1, full.delivered), 4),
        "p50_ms": paced.latency_ms.p50,
        "p99_ms": paced.latency_ms.p99,
        "damage": full.damage + paced.damage,
        "verdict": full if full.damage or client != "afx node" else paced,
    }


def _promise(lab: LabCluster, play: Play, account: int) -> None:
    lab.sandbox.call("forget_routes")
    routes = [[source, to, account] for source, to in play.routes]
    changed = any(it["asks"] for it in play.rules)
    lab.sandbox.call("expect", routes=routes, wrapped=f"{{}}\n{FOOTER}" if changed else "")


def _post(lab: LabCluster, play: Play, count: int, rate: float) -> None:
    chats = [[it, 0] for it in play.chats]
    lab.sandbox.call("flow", chats=chats, count=count, rate=rate)


def _edits(lab: LabCluster, play: Play, count: int) -> dict[str, Any]:
    """Edit messages that are copied, and see when their copies are edited."""
    [(source, to)] = play.routes
    _post(lab, play, count, 1_000)
    lab.wait("the copies are made", lambda: lab.sandbox.call("count", chat=to) == count, 60)
    for it in range(count):
        lab.sandbox.call("edit", chat=source, message=it + 1, text=f"edited {it}")
        time.sleep(0.02)
    lab.wait("the copies are edited", lambda: len(list(_changes(lab))) == 2 * count, 60)
    at: dict[str, list[float]] = {}
    for change in _changes(lab):
        at.setdefault(change["after"], []).append(change["at"])
    latencies = [1000 * (max(them) - min(them)) for them in at.values() if len(them) == 2]
    return {
        "client": "afx node",
        "round": _EDITS,
        "edits": len(latencies),
        "p50_ms": round(percentile(latencies, 0.5) or 0, 2),
        "p99_ms": round(percentile(latencies, 0.99) or 0, 2),
    }


def _changes(lab: LabCluster) -> Iterator[dict[str, Any]]:
    after = 0
    while page := lab.sandbox.call("changes", after=after, most=500):
        yield from page
        after += len(page)


def _cpu_seconds(processes: Sequence[psutil.Process]) -> float:
    return float(sum(sum(it.cpu_times()[:2]) for it in processes))


def _of(rows: list[dict[str, Any]], kind: str, figure: str, client: str) -> list[float]:
    having = (it for it in rows if it["round"] == kind and it["client"] == client)
    return [float(it[figure]) for it in having]


def _ours(rows: list[dict[str, Any]], kind: str, figure: str) -> float:
    return statistics.median(_of(rows, kind, figure, "afx node"))


def _ratio(rows: list[dict[str, Any]], kind: str, figure: str, target: float, bound: Any) -> Target:
    """Return the target of a figure's ratio to the peer's, round by round."""
    ours, theirs = (_of(rows, kind, figure, it) for it in ("afx node", "bare Telethon"))
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    return Target(f"{kind}: {figure}, ratio to bare Telethon", round(ratio, 3), target, bound)


def _an_account(lab: LabCluster) -> tuple[str, int]:
    [made] = lab.sandbox.call("provision", count=1)
    return made["login"], made["account"]


@contextlib.contextmanager
def _peer(python: str, script: Path, login: str, play: Play) -> Iterator[list[psutil.Process]]:
    """Run a peer in a directory of its own, from when it is ready."""
    arguments = [python, str(script), login, json.dumps(play.rules)]
    with tempfile.TemporaryDirectory(prefix="afx-peer-") as home:
        peer = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, cwd=home)
        assert peer.stdout is not None
        try:
            while peer.stdout.readline().strip() != "ready":
                if peer.poll() is not None:
                    raise AfxError(f"{script.name} has ended with {peer.returncode}.")
            yield [psutil.Process(peer.pid)]
        finally:
            peer.terminate()
            peer.wait()
            peer.stdout.close()
