"""One soak: faults at their times while messages flow, and which deaths had a cause."""

from __future__ import annotations

import heapq
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import count

import psutil
import redis

from afx.cluster.leadership import read_leader
from afx.coordinator.decisions.liveness import DeathReason
from afx.errors import AfxError
from afx.lab.accounts import alternate_modes
from afx.lab.cluster import LabCluster
from afx.lab.control_plane import ControlPlaneWatch, bound_seconds, leads, works
from afx.lab.fault_plan import Fault, Kind
from afx.lab.faults import FaultInjector
from afx.local.processes import node_names
from afx.sandbox.judge.verdict import Verdict

_CAUSE_SECONDS = 20.0
"""The death of a node has a cause if a fault befell the node within so long before."""
_JUDGE_SECONDS = 60.0
_POLL_SECONDS = 0.05
_HARMLESS: tuple[Kind, ...] = ("reset-node", "drain", "recycle")
"""Faults of a node that do not end it."""
_REDIS_AWAY: tuple[Kind, ...] = ("kill-redis", "stop-redis")
"""Faults that may outlast every node's lease."""
_OF_ALL_NODES: tuple[Kind, ...] = (*_REDIS_AWAY, "readonly-redis", "busy-redis", "stop-all")
"""Faults that may cost every node its lease."""
_REDIS_REFUSES: tuple[Kind, ...] = (*_OF_ALL_NODES, "full-redis")
"""Faults during which no coordinator can lead."""
_UNDO_RETRY_SECONDS = 0.5
_COORDINATORS = ("coordinator-1", "coordinator-2")
_NO_DEATH = (DeathReason.LEFT, DeathReason.REPLACED)
"""Reasons of ``node_down`` events of a node that ended or restarted by itself."""


class SoakRun:
    """A soak of one lab: opened by the constructor, played once by ``play``."""

    def __init__(
        self, lab: LabCluster, *, nodes: int, sessions: int, show: Callable[[str], None]
    ) -> None:
        """Start the cluster, and wait until all its sessions run.

        ``show`` gets a line for whatever happens.
        """
        self.faults: Counter[str] = Counter()
        """Faults that were put into effect, by kind."""
        self.deaths = 0
        self.false_deaths: list[str] = []
        self.unexpected_ends = 0
        """Processes that ended without a fault that ends them; they were restarted."""
        self.control_plane = ControlPlaneWatch(bound_seconds(lab.settings.lease))
        self._lab = lab
        self._show = show
        self._begun = 0.0
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._cause_until: dict[str, float] = {}
        """Node → until when its death has a cause."""
        self._redis_back_at = 0.0
        """Until then Redis does not answer, and is not asked: each call would block."""
        self._redis_refuses_until = 0.0
        telegram = lab.telegram_link(seed=1)
        lab.add_sessions(sessions, mode=alternate_modes, over=telegram)
        self._injector = FaultInjector(lab, node_names(nodes), telegram)
        for name in (*_COORDINATORS, *self._injector.nodes):
            self._injector.start(name)
        lab.wait_nodes(nodes)
        lab.wait_running(seconds=60 + sessions / 10)
        lab.events()
        lab.expect_copies()

    def play(self, faults: Sequence[Fault], seconds: float, rate: float) -> Verdict:
        """Let all faults happen, then mend everything; returns the verdict."""
        self._begun = time.monotonic()
        self._lab.post(int(seconds * rate), rate)
        for fault in faults:
            self._schedule(fault.at, self._starter(fault))
        self._schedule_judge(_JUDGE_SECONDS, seconds)
        while (now := self._now()) < seconds:
            while self._due and self._due[0][0] <= now:
                heapq.heappop(self._due)[2]()
            self._restart_ended()
            self._read_events()
            self._observe_control_plane()
            time.sleep(_POLL_SECONDS)
        self._tell("all faults are mended")
        self._injector.mend_all()
        self._lab.wait_running(seconds=120)
        return self._lab.wait_delivered(180)

    # --- time --------------------------------------------------------------------------

    def _now(self) -> float:
        return time.monotonic() - self._begun

    def _tell(self, text: str) -> None:
        self._show(f"{self._now():7.1f} s  {text}")

    def _schedule(self, at: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._due, (at, next(self._order), act))

    def _schedule_judge(self, at: float, seconds: float) -> None:
        def judge() -> None:
            verdict = self._lab.judge()
            figures = ("published", "delivered", "duplicated", "revoked")
            self._tell(str({it: getattr(verdict, it) for it in figures}))
            self._schedule_judge(at + _JUDGE_SECONDS, seconds)

        if at < seconds:
            self._schedule(at, judge)

    # --- what ended --------------------------------------------------------------------

    def _restart_ended(self) -> None:
        """Restart what ended by itself, as a service manager does."""
        for child in list(self._lab.processes.children.values()):
            code = child.exit_code()
            if code is not None:
                self.unexpected_ends += 1
                self._tell(f"{child.name} ended with {code}; restarted")
                self._note_cause(child.name, 0)
                self._lab.processes.restart(child.name)

    def _read_events(self) -> None:
        """Count the deaths of nodes that the coordinator announced."""
        if self._now() < self._redis_back_at:
            return
        try:
            events = self._lab.events()
        except redis.RedisError:
            return  # a fault of ours
        for event in events:
            if event["kind"] != "node_down" or event["reason"] in _NO_DEATH:
                continue
            self.deaths += 1
            if self._cause_until.get(event["node"], 0.0) < self._now():
                self.false_deaths.append(f"{event['node']} at {self._now():.1f} s: {event}")
                self._show(f"FALSE DEATH of {self.false_deaths[-1]}")

    def _observe_control_plane(self) -> None:
        """Note whether a coordinator leads, and whether one could."""
        now = self._now()
        children = self._lab.processes.children
        pids = [children[it].pid for it in _COORDINATORS if it in children]
        if now < max(self._redis_back_at, self._redis_refuses_until):
            self.control_plane.note(now, leads=False, can_lead=False)
            return
        try:
            leader = read_leader(self._lab.redis)
        except redis.RedisError:
            self.control_plane.note(now, leads=False, can_lead=False)
            return
        self.control_plane.note(now, leads=leads(leader, pids), can_lead=any(map(works, pids)))

    def _note_cause(self, target: str, seconds: float) -> None:
        """Note that a fault of a node lasts so long; one of all nodes, if it is no node."""
        nodes = self._injector.nodes
        for name in [target] if target in nodes else nodes:
            until = self._now() + seconds + _CAUSE_SECONDS
            self._cause_until[name] = max(self._cause_until.get(name, 0.0), until)

    # --- faults ------------------------------------------------------------------------

    def _starter(self, fault: Fault) -> Callable[[], None]:
        return lambda: self._start_fault(fault)

    def _start_fault(self, fault: Fault) -> None:
        target = self._injector.target(fault)
        if target is None:
            return
        try:
            undo = self._injector.inject(fault, target)
        except (AfxError, redis.RedisError, psutil.Error, OSError) as error:
            self._show(f"{fault.at:7.1f} s  {fault.kind} {target} was not possible: {error}")
            return
        if fault.kind in _REDIS_AWAY:
            self._redis_back_at = self._now() + fault.seconds
        if fault.kind in _REDIS_REFUSES:
            self._redis_refuses_until = max(self._redis_refuses_until, self._now() + fault.seconds)
        self.faults[fault.kind] += 1
        if (target and fault.kind not in _HARMLESS) or fault.kind in _OF_ALL_NODES:
            self._note_cause(target, fault.seconds)
        self._show(f"{fault.at:7.1f} s  {fault.kind} {target} for {fault.seconds} s")
        if undo:
            self._schedule(fault.at + fault.seconds, lambda: self._undo(undo))

    def _undo(self, undo: Callable[[], None]) -> None:
        """Undo a fault; tried again while another fault keeps Redis from answering."""
        try:
            undo()
        except (AfxError, redis.RedisError) as error:
            self._tell(f"a fault is not mended yet: {error}")
            self._schedule(self._now() + _UNDO_RETRY_SECONDS, lambda: self._undo(undo))
