"""What a node shows of itself: its lease, its heartbeats, how often it started anew.

What its heartbeats carry (sessions, load, messages) is shown by the API for all nodes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from afx.clock import Clock
from afx.exposition import Metric, by_label, single
from afx.node.lease_memory import LeaseMemory
from afx.probes import Probed, State

_STUCK_SECONDS = 15.0
"""The supervisor does nothing for so long only when it is stuck."""


class NodeFigures:
    """Noted by the supervisor, read by the thread that answers probes."""

    def __init__(self, node: str, clock: Clock) -> None:
        self._node = node
        self._clock = clock
        self._seen_at = clock.boottime()
        self._memory: LeaseMemory | None = None
        self._registered = False
        self._desired_state = ""
        self._incarnations = 0
        self._losses = 0
        self._endings: Counter[str] = Counter()
        self._heartbeats = 0
        self._failures: Counter[str] = Counter()

    def note_alive(self) -> None:
        """Note that the supervisor runs."""
        self._seen_at = self._clock.boottime()

    def note_begin(self, memory: LeaseMemory) -> None:
        """Note that an incarnation begins, which has this memory."""
        self._memory = memory
        self._registered = False
        self._incarnations += 1

    def note_registered(self) -> None:
        """Note that the incarnation has a lease."""
        self._registered = True
        self._desired_state = "ready"

    def note_end(self, ending: str) -> None:
        """Note that the incarnation has ended, and why."""
        if self._memory is not None:
            self._losses += self._memory.losses
        self._memory, self._registered = None, False
        self._endings[ending] += 1

    def note_heartbeat(self, fault: str, desired_state: str) -> None:
        """Note the outcome of a heartbeat; ``fault`` is empty when it renewed the lease."""
        if fault:
            self._failures[fault] += 1
        else:
            self._heartbeats += 1
            self._desired_state = desired_state

    def probed(self) -> Probed:
        """Return what probes show."""
        return Probed(self._metrics, self._health, self._readiness)

    def _health(self) -> State:
        silent = self._clock.boottime() - self._seen_at
        return State(silent < _STUCK_SECONDS, f"the supervisor last ran {silent:.1f} s ago")

    def _readiness(self) -> State:
        left = self._lease_left()
        if left <= 0:
            return State(False, "the node has no lease")
        if self._desired_state != "ready":
            return State(False, f"its desired state is {self._desired_state}")
        return State(True, f"the lease has {left:.1f} s left")

    def _lease_left(self) -> float:
        memory = self._memory
        if memory is None or not self._registered:
            return 0.0
        return max(0.0, memory.deadline - self._clock.boottime())

    def _metrics(self) -> Iterable[Metric]:
        memory = self._memory
        node = (("node", self._node),)

        def one(name: str, kind: str, text: str, value: float) -> Metric:
            made = single(name, "counter" if kind == "counter" else "gauge", text, value)
            return Metric(made.name, made.kind, made.text, ((node, value),))

        yield one(
            "afx_node_ready",
            "gauge",
            "Whether the node has a lease and takes sessions.",
            int(self._readiness().ok),
        )
        yield one(
            "afx_node_lease_left_seconds",
            "gauge",
            "After so long without a heartbeat its sessions stop.",
            round(self._lease_left(), 3),
        )
        if memory is not None and memory.host_beat:
            yield one(
                "afx_node_host_beat_age_seconds",
                "gauge",
                "For how long the loop of its sessions has stood still.",
                round(max(0.0, self._clock.boottime() - memory.host_beat), 3),
            )
        losses = self._losses + (memory.losses if memory is not None else 0)
        yield one("afx_node_incarnations_total", "counter", "", self._incarnations)
        yield one("afx_node_heartbeats_total", "counter", "", self._heartbeats)
        yield one(
            "afx_node_redis_losses_total", "counter", "How often Redis lost its data.", losses
        )
        yield by_label(
            "afx_node_failed_heartbeats_total", "counter", "", "kind", dict(self._failures), *node
        )
        yield by_label(
            "afx_node_ended_incarnations_total",
            "counter",
            "By why they ended.",
            "kind",
            dict(self._endings),
            *node,
        )
        fault = memory.redis_fault if memory is not None else None
        yield by_label(
            "afx_node_redis_fault",
            "gauge",
            "What hinders its use of Redis; no series: nothing.",
            "kind",
            {str(fault): 1} if fault else {},
            *node,
        )
