"""Rules with filters and transforms, against a bare Telethon script that does the same.

One account each, on one sandbox, taking turns: twenty rules; many updates that concern no rule;
one source to many destinations. The peer has a handler for each rule, as its users write it.
Edits are measured without a peer: no such script follows them. tgcf is not run: its newest
release (1.1.8) needs Telethon 1.26.0, which speaks a layer that the sandbox refuses.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from common import Target, broken_target, percentile, report

from afx.lab.accounts import LabSession
from afx.lab.cluster import LabCluster, temporary_settings
from afx.sandbox.judge.verdict import Verdict
from models.storage import rules, sessions
from models.storage.rules import NewRule

NAME = "forward-rules"
_PEER = "--peer"
_FOOTER = "end"
_ACCEPTED, _REFUSED = "message", "never said"
"""What filters ask for: all posts have the first in their text, and none the second."""
_FANOUT = 50
_MOST_SECONDS = 120.0


@dataclass(slots=True, frozen=True)
class Play:
    """The chats of one kind of round, of one account."""

    kind: str
    chats: list[int]
    """What is posted to, in turn."""
    routes: list[tuple[int, int]]
    """(source, destination) of what must be copied."""
    rules: list[dict[str, Any]]
    """Each rule's sources, destinations and what its filter asks for; "" for plain copies."""

    @property
    def share(self) -> float:
        """Copies of one post, on average."""
        return len(self.routes) / len(self.chats)


def add_flags(parser: argparse.ArgumentParser) -> None:
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
            *chosen, followed = lab.add_sessions(len(_KINDS) + 1)
            ours = dict(zip(_KINDS, chosen, strict=True))
            plays = {kind: _KINDS[kind](lab, it.account) for kind, it in ours.items()}
            for kind, it in ours.items():
                _replace_rules(it, plays[kind])
            edited = _plain(lab, followed.account)
            _replace_rules(followed, edited, sync=["edits"])
            lab.processes.start_coordinator()
            lab.processes.start_nodes(1)
            lab.wait_running()
            for kind, it in ours.items():
                login, account = _an_account(lab)
                peer = _KINDS[kind](lab, account)
                for _ in range(flags.rounds):
                    tree = lab.process_tree("w1")
                    rows.append(_round(lab, "afx node", plays[kind], it.account, tree, flags))
                    process = _start_peer(login, peer)
                    try:
                        tree = [psutil.Process(process.pid)]
                        rows.append(_round(lab, "bare Telethon", peer, account, tree, flags))
                    finally:
                        process.terminate()
                        process.wait()
            verdicts += [it.pop("verdict") for it in rows]
            rows.append(_edits(lab, edited, flags.edits))
    targets = [
        *_ratios(rows, "rules", "messages_per_s", 1.5, "at least"),
        *_ratios(rows, "rules", "p99_ms", 1.5, "at most"),
        *_ratios(rows, "unmatched", "messages_per_s", 4.0, "at least"),
        *_ratios(rows, "fan-out", "copies_per_s", 1.5, "at least"),
        Target("CPU seconds of 1,000 plain copies", _ours(rows, "plain", "cpu_s"), 0.12, "at most"),
        Target("an edit follows, p50 in ms", rows[-1]["p50_ms"], 5.0, "at most"),
        broken_target("messages lost, doubled, altered or out of order", *verdicts),
    ]
    report(NAME, rows, targets, as_json=flags.json)


# --- what is forwarded -----------------------------------------------------------------------


def _channels(lab: LabCluster, account: int, count: int, *, posts: bool) -> list[int]:
    role = "posters" if posts else "members"
    wanted = [{"title": f"{role} {it}", role: [account]} for it in range(count)]
    return [int(it["id"]) for it in lab.sandbox.call("channels", channels=wanted)]


def _rule(sources: Sequence[int], destinations: Sequence[int], asks: str = "") -> dict[str, Any]:
    return {"from": list(sources), "to": list(destinations), "asks": asks}


def _plain(lab: LabCluster, account: int) -> Play:
    [source] = _channels(lab, account, 1, posts=False)
    [to] = _channels(lab, account, 1, posts=True)
    return Play("plain", [source], [(source, to)], [_rule([source], [to])])


def _twenty(lab: LabCluster, account: int) -> Play:
    sources = _channels(lab, account, 20, posts=False)
    to = _channels(lab, account, 20, posts=True)
    routes = list(zip(sources, to, strict=True))
    made = [_rule([one], [other], _ACCEPTED) for one, other in routes]
    return Play("rules", sources, routes, made)


def _unmatched(lab: LabCluster, account: int) -> Play:
    """Of ten posts two are copied: four are in chats of no rule, four are refused by a filter."""
    sources = _channels(lab, account, 10, posts=False)
    to = _channels(lab, account, 6, posts=True)
    pairs = list(zip(sources, to, strict=False))
    made = [_rule([one], [other], _ACCEPTED) for one, other in pairs[:2]]
    made += [_rule([one], [other], _REFUSED) for one, other in pairs[2:]]
    return Play("unmatched", sources, pairs[:2], made)


def _fan_out(lab: LabCluster, account: int) -> Play:
    [source] = _channels(lab, account, 1, posts=False)
    to = _channels(lab, account, _FANOUT, posts=True)
    return Play("fan-out", [source], [(source, it) for it in to], [_rule([source], to)])


_KINDS = {"plain": _plain, "rules": _twenty, "unmatched": _unmatched, "fan-out": _fan_out}


def _replace_rules(session: LabSession, play: Play, *, sync: Sequence[str] = ()) -> None:
    owner = sessions.find(session.name)
    for old in rules.for_sessions([owner.id])[owner.id]:
        rules.remove(old)
    rules.create_many(
        [
            NewRule(
                owner.id,
                f"{play.kind}-{number}",
                [str(chat) for chat in it["from"]],
                [str(chat) for chat in it["to"]],
                filter=_filter(it["asks"]),
                transform=_transform(it["asks"]),
                sync=list(sync),
            )
            for number, it in enumerate(play.rules)
        ]
    )


def _filter(asks: str) -> dict[str, Any]:
    if not asks:
        return {}
    return {"all": [{"contains": [asks]}, {"not": {"contains": ["spam"]}}, {"length": {"min": 5}}]}


def _transform(asks: str) -> list[Any]:
    if not asks:
        return []
    return [{"replace": {"text": ["Acme Corp", "ACME"], "with": "Emca"}}, {"footer": _FOOTER}]


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
    rate = flags.rate / _FANOUT if play.kind == "fan-out" else flags.rate
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
        "verdict": full if full.damage or client != "afx node" else paced,
    }


def _promise(lab: LabCluster, play: Play, account: int) -> None:
    lab.sandbox.call("forget_routes")
    routes = [[source, to, account] for source, to in play.routes]
    changed = any(it["asks"] for it in play.rules)
    lab.sandbox.call("expect", routes=routes, wrapped=f"{{}}\n{_FOOTER}" if changed else "")


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
        "round": "edits",
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


def _ratios(
    rows: list[dict[str, Any]], kind: str, figure: str, target: float, bound: Any
) -> list[Target]:
    """Return the target of a figure's ratio to the peer's, round by round."""
    ours, theirs = (_of(rows, kind, figure, it) for it in ("afx node", "bare Telethon"))
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    return [Target(f"{kind}: {figure}, ratio to bare Telethon", round(ratio, 3), target, bound)]


# --- the peer ------------------------------------------------------------------------------------


def _an_account(lab: LabCluster) -> tuple[str, int]:
    [made] = lab.sandbox.call("provision", count=1)
    return made["login"], made["account"]


def _start_peer(login: str, play: Play) -> subprocess.Popen[str]:
    arguments = [sys.executable, __file__, _PEER, login, json.dumps(play.rules)]
    peer = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    assert peer.stdout is not None
    peer.stdout.readline()
    return peer


async def _peer(login: str, made: list[dict[str, Any]]) -> None:
    """What a careful user of Telethon writes: one handler for each rule."""
    from telethon import TelegramClient, events
    from telethon.sessions import StringSession

    client = TelegramClient(StringSession(login), 1, "sandbox")
    await client.connect()
    await client.get_dialogs()

    def add(rule: dict[str, Any]) -> None:
        asks = rule["asks"]

        def takes(event: Any) -> bool:
            text = event.message.message
            return not asks or (asks in text.lower() and "spam" not in text.lower())

        @client.on(events.NewMessage(chats=rule["from"], func=takes))  # type: ignore[untyped-decorator]
        async def copy(event: Any) -> None:
            text = event.message.message
            if asks:
                text = text.replace("Acme Corp", "Emca").replace("ACME", "Emca") + f"\n{_FOOTER}"
            await asyncio.gather(*(client.send_message(it, text) for it in rule["to"]))

    for rule in made:
        add(rule)
    print("ready", flush=True)
    await client.run_until_disconnected()


if __name__ == "__main__" and _PEER in sys.argv:
    asyncio.run(_peer(sys.argv[-2], json.loads(sys.argv[-1])))
