"""Lets faults befall a cluster for minutes or hours while messages flow.

Run by ``scripts/soak``. The sandbox's ledger is the judge, and what the
coordinator announces tells whether it took a living node for dead.
"""

from __future__ import annotations

import argparse
import contextlib
import heapq
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import psutil
import redis

from afx.app import context_for
from afx.cluster import keys
from afx.errors import AfxError
from afx.lab.cluster import Lab, temporary_settings
from afx.lab.fault_plan import LONGEST, Fault, Kind, chosen, plan
from afx.lab.links import BadLink
from afx.local import private_redis
from afx.operations import coordinators as coordinator_acts
from afx.operations import sessions as session_acts
from afx.operations import workers as worker_acts
from afx.operations.context import Context

_ECHO_SECONDS = 20.0
"""So long after a fault the death of a node that it befell is its consequence."""
_JUDGE_SECONDS = 60.0
_HARMLESS: tuple[Kind, ...] = ("reset-node", "drain", "recycle")
"""Faults of a node from which it does not die."""
_FOR_ALL: tuple[Kind, ...] = ("kill-redis", "stop-redis")
"""Faults that may outlast every node's lease."""
_COORDINATORS = ("coordinator-1", "coordinator-2")


@dataclass(slots=True)
class Soak:
    """One soak of an open lab."""

    lab: Lab
    show: Callable[[str], None]
    links: dict[str, BadLink] = field(default_factory=dict)
    urls: dict[str, str] = field(default_factory=dict)
    telegram: BadLink | None = None
    begun: float = 0.0
    met: Counter[str] = field(default_factory=Counter)
    """Faults by kind."""
    deaths: int = 0
    false_deaths: list[str] = field(default_factory=list)
    ended_by_themselves: int = 0
    _due: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _numbers: Any = field(default_factory=count)
    _blamed: dict[str, float] = field(default_factory=dict)
    """Node → until when its death has a cause."""
    _redis_back: float = 0.0
    """Until then Redis does not answer: nobody asks it, for that would take long."""

    def open(self, nodes: int, sessions: int) -> None:
        """Start the cluster, and wait until all its sessions run."""
        lab = self.lab
        self.telegram = lab.telegram_link(seed=1)
        lab.add_sessions(
            sessions, mode=lambda it: "forward" if it % 2 else "copy", over=self.telegram
        )
        for name in _COORDINATORS:
            lab.fleet.start_coordinator(name)
        for name in (f"w{number + 1}" for number in range(nodes)):
            self.links[name], self.urls[name] = lab.redis_link(seed=len(self.links))
            lab.fleet.start_worker(name, redis_url=self.urls[name])
        lab.wait_nodes(nodes)
        lab.wait_running(seconds=60 + sessions / 10)
        lab.events()
        lab.expect_copies()

    def play(self, faults: Sequence[Fault], seconds: float, rate: float) -> dict[str, Any]:
        """Let all faults happen, then mend everything; returns the verdict."""
        self.begun = time.monotonic()
        self.lab.post(int(seconds * rate), rate)
        for fault in faults:
            self._later(fault.at, lambda it=fault: self._befall(it))  # type: ignore[misc]
        self._judge_later(_JUDGE_SECONDS, seconds)
        while (now := self._now()) < seconds:
            while self._due and self._due[0][0] <= now:
                heapq.heappop(self._due)[2]()
            self._look()
            time.sleep(0.05)
        self._mend()
        self.lab.wait_running(seconds=120)
        return self.lab.wait_delivered(180)

    @property
    def _context(self) -> Context:
        return context_for(self.lab.settings, "soak")

    # --- time --------------------------------------------------------------------------

    def _now(self) -> float:
        return time.monotonic() - self.begun

    def _later(self, at: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._due, (at, next(self._numbers), act))

    def _judge_later(self, at: float, seconds: float) -> None:
        def judge() -> None:
            verdict = self.lab.sandbox.call("judge")
            told = {it: verdict[it] for it in ("published", "delivered", "duplicated", "revoked")}
            self.show(f"{self._now():7.1f} s  {told}")
            self._judge_later(at + _JUDGE_SECONDS, seconds)

        if at < seconds:
            self._later(at, judge)

    # --- what is seen --------------------------------------------------------------------

    def _look(self) -> None:
        """Start what has ended by itself, as a service manager does; hear of deaths."""
        for name, child in list(self.lab.fleet.children.items()):
            if child.poll() is not None:
                del self.lab.fleet.children[name]
                self.ended_by_themselves += 1
                self.show(f"{self._now():7.1f} s  {name} ended with {child.returncode}; started")
                self._blame(name, 0)
                self._start(name)
        if self._now() < self._redis_back:
            return
        try:
            events = self.lab.events()
        except redis.RedisError:
            return  # a fault of ours
        for event in events:
            if event["kind"] != "node_down" or event["reason"] in ("left", "replaced"):
                continue
            self.deaths += 1
            if self._blamed.get(event["node"], 0.0) < self._now():
                self.false_deaths.append(f"{event['node']} at {self._now():.1f} s: {event}")
                self.show(f"FALSE DEATH of {self.false_deaths[-1]}")

    def _blame(self, node: str, seconds: float) -> None:
        """Note that a node's death has a cause; all nodes' when it is no node."""
        for name in [node] if node in self.links else self.links:
            until = self._now() + seconds + _ECHO_SECONDS
            self._blamed[name] = max(self._blamed.get(name, 0.0), until)

    # --- faults ---------------------------------------------------------------------------

    def _befall(self, fault: Fault) -> None:
        live = [it for it in self.links if it in self.lab.fleet.children]
        target = ""
        if fault.kind.endswith(("-node", "-supervisor", "-host")) or fault.kind in (
            "drain",
            "recycle",
        ):
            if not live:
                return
            target = chosen(live, fault.pick)
        try:
            undo = self._act(fault, target)
        except (AfxError, redis.RedisError, psutil.Error, OSError) as error:
            self.show(f"{fault.at:7.1f} s  {fault.kind} {target} could not be: {error}")
            return
        self.met[fault.kind] += 1
        if (target and fault.kind not in _HARMLESS) or fault.kind in _FOR_ALL:
            self._blame(target, fault.seconds)
        self.show(f"{fault.at:7.1f} s  {fault.kind} {target} for {fault.seconds} s")
        if undo:
            self._later(fault.at + fault.seconds, undo)

    def _act(self, fault: Fault, target: str) -> Callable[[], None] | None:
        """Do it; returns what undoes it."""
        lab, kind = self.lab, fault.kind
        match kind:
            case "kill-node" | "kill-supervisor":
                return self._kill(target, whole=kind == "kill-node")
            case "kill-leader":
                leader = lab.leader()
                return self._kill(leader, whole=True) if leader else None
            case "kill-host":
                for it in self._tree(target)[1:]:
                    it.kill()
            case "stop-node" | "stop-leader":
                name = target or lab.leader()
                return self._stop(self._tree(name)) if name else None
            case "stop-supervisor":
                return self._stop(self._tree(target)[:1])
            case "stop-host":
                return self._stop(self._tree(target)[1:])
            case "cut-node":
                self.links[target].cut()
                return self.links[target].mend
            case "slow-node":
                self.links[target].slow(0.2, loss=0.05)
                return self.links[target].mend
            case "reset-node":
                self.links[target].drop()
            case "move":
                held = chosen([it.name for it in lab.sessions], fault.pick)
                session_acts.move(self._context, held)
            case "recycle":
                worker_acts.recycle(self._context, target, forced=fault.pick > 0.5)
            case "recycle-coordinators":
                coordinator_acts.recycle(self._context)
            case "drain":
                worker_acts.drain(self._context, [target])
                return lambda: self._uncordon(target)
            case _:
                return self._act_on_servers(fault)
        return None

    def _act_on_servers(self, fault: Fault) -> Callable[[], None] | None:
        lab = self.lab
        assert self.telegram is not None
        match fault.kind:
            case "kill-redis":
                os.kill(_redis_pid(lab), signal.SIGKILL)
                self._redis_back = self._now() + fault.seconds
                return lambda: _ensure_redis(lab)
            case "stop-redis":
                self._redis_back = self._now() + fault.seconds
                return self._stop([psutil.Process(_redis_pid(lab))])
            case "flush-redis":
                lab.redis.flushall()
            case "drop-telegram":
                lab.sandbox.call("drop", account=0)
            case "refuse-telegram":
                lab.sandbox.call("refuse", on=True)
                return lambda: lab.sandbox.call("refuse", on=False)
            case "slow-telegram":
                self.telegram.slow(0.2, loss=0.05)
                return self.telegram.mend
            case "flood":
                held = lab.sessions[int(fault.pick * len(lab.sessions))]
                lab.sandbox.call("flood", seconds=fault.seconds, account=held.account)
            case _:
                raise AssertionError(fault.kind)
        return None

    def _tree(self, name: str) -> list[psutil.Process]:
        top = psutil.Process(self.lab.fleet.children[name].pid)
        return [top, *top.children(recursive=True)]

    def _stop(self, processes: list[psutil.Process]) -> Callable[[], None]:
        for it in processes:
            it.suspend()

        def wake() -> None:
            for it in processes:
                with contextlib.suppress(psutil.NoSuchProcess):
                    it.resume()

        return wake

    def _kill(self, name: str, *, whole: bool) -> Callable[[], None]:
        if whole:
            self.lab.fleet.kill_tree(name)
        else:
            child = self.lab.fleet.children.pop(name)
            child.kill()
            child.wait()
        return lambda: self._start(name)

    def _start(self, name: str) -> None:
        if name in self.lab.fleet.children:
            return
        if name in self.links:
            self.lab.fleet.start_worker(name, redis_url=self.urls[name])
        else:
            self.lab.fleet.start_coordinator(name)

    def _uncordon(self, name: str) -> None:
        with contextlib.suppress(AfxError):
            worker_acts.uncordon(self._context, [name])

    def _mend(self) -> None:
        """Undo what has no end of its own."""
        self.show(f"{self._now():7.1f} s  all faults are mended")
        for link in (*self.links.values(), *([self.telegram] if self.telegram else ())):
            link.mend()
        for name in self.links:
            self._uncordon(name)


def _ensure_redis(lab: Lab) -> None:
    private_redis.ensure(lab.settings.home)


def _redis_pid(lab: Lab) -> int:
    return int(lab.redis.info("server")["process_id"])


def _burn() -> subprocess.Popen[bytes]:
    """Keep one CPU busy until killed."""
    return subprocess.Popen([sys.executable, "-c", "while True: pass"])


def run(flags: argparse.Namespace) -> dict[str, Any]:
    """Play one soak; returns its figures."""
    seconds = flags.minutes * 60
    kinds: Sequence[Kind] = () if flags.calm else tuple(LONGEST)
    faults = plan(flags.seed, seconds - 5, every=flags.every, kinds=kinds)
    home = Path(tempfile.mkdtemp(prefix="afx-soak-"))
    burners = [_burn() for _ in range(flags.burn)]
    try:
        settings = temporary_settings(home)
        with Lab(settings, variables={"AFX_BRAKE_HOLD_SECONDS": "5"}) as lab:
            soak = Soak(lab, lambda text: print(text, file=sys.stderr, flush=True))
            soak.open(flags.workers, flags.sessions)
            verdict = soak.play(faults, seconds, flags.rate)
            generation = int(lab.redis.get(keys.GENERATION) or 0)
    finally:
        for it in burners:
            it.kill()
            it.wait()
    broken = sum(verdict[it] for it in ("lost", "duplicated", "out_of_order", "revoked"))
    figures = {
        "seed": flags.seed,
        "minutes": flags.minutes,
        "clean": not broken,
        **verdict,
        "faults": sum(soak.met.values()),
        "by_kind": dict(sorted(soak.met.items())),
        "node_deaths": soak.deaths,
        "false_deaths": soak.false_deaths,
        "ended_by_themselves": soak.ended_by_themselves,
        "leaders": generation,
    }
    if broken or soak.false_deaths:
        print(f"kept: {home}", file=sys.stderr)
    else:
        shutil.rmtree(home, ignore_errors=True)
    return figures


def main() -> None:
    """Read the flags, play, and tell."""
    parser = argparse.ArgumentParser(
        prog="scripts/soak",
        description="Random faults befall a cluster while messages flow; nothing may be lost, "
        "doubled, out of order or revoked. The same seed gives the same faults.",
    )
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=4, help="worker nodes")
    parser.add_argument("--sessions", type=int, default=60, help="Telegram accounts")
    parser.add_argument("--rate", type=float, default=60.0, help="posts a second")
    parser.add_argument("--every", type=float, default=6.0, help="seconds between faults, about")
    parser.add_argument("--burn", type=int, default=0, help="processes that burn CPU meanwhile")
    parser.add_argument("--calm", action="store_true", help="no faults: who is then found dead?")
    parser.add_argument("--plan", action="store_true", help="only print the faults")
    flags = parser.parse_args()
    if flags.plan:
        for it in plan(flags.seed, flags.minutes * 60 - 5, every=flags.every):
            print(f"{it.at:8.1f} s  {it.kind:<16} {it.seconds:5.1f} s  {it.pick:.3f}")
        return
    figures = run(flags)
    print(json.dumps(figures, indent=1))
    if not figures["clean"] or figures["false_deaths"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
