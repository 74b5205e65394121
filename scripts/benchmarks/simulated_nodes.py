"""Nodes that only speak the cluster's protocols: they send heartbeats and answer orders."""

from __future__ import annotations

import json
import threading
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rq.job import Job
from rq.queue import Queue

from afx.cluster import queues, report_stream
from afx.cluster.connection import connect
from afx.cluster.registry import Registry
from afx.cluster.reports import Inventory, Report, Running, Stopped
from afx.cluster.worker_records import Identity, Metrics
from afx.reasons import StopReason

MIB = 1 << 20
_BEAT_SECONDS = 0.5
_POLL_SECONDS = 0.02
_REPORTS_AT_ONCE = 100
_INVENTORY_PART = 1000


@dataclass(slots=True)
class SimulatedNode:
    """One node and the sessions that it runs."""

    identity: Identity
    epochs: dict[int, int] = field(default_factory=dict)
    """session → epoch"""
    ordered: set[int] = field(default_factory=set)
    """The sessions that it was ordered to start."""

    def metrics(self) -> Metrics:
        """Return what it reports of itself."""
        count = len(self.epochs)
        used = 100 * MIB + count * 256 * 1024
        return Metrics(used, 60_000 * MIB - used, 60_000 * MIB, 0.1, count, 0, 0)


class SimulatedNodes:
    """All nodes of a cluster, on two threads; ``close`` ends them."""

    def __init__(self, redis_url: str, owned: Mapping[str, Mapping[int, int]], most: int) -> None:
        """``owned`` is node → session → epoch, ``most`` the sessions that a node may have."""
        self._redis = connect(redis_url)
        self._raw = connect(redis_url, decode=False)
        self._registry = Registry(self._redis)
        self._stop = threading.Event()
        self.nodes = {
            name: SimulatedNode(
                Identity(name, f"{name}-1", "far", "another boot", "", "1:1", most), dict(epochs)
            )
            for name, epochs in owned.items()
        }
        for it in self.nodes.values():
            assert self._registry.register(it.identity, it.metrics())
        self._threads = [
            threading.Thread(target=self._beat, daemon=True),
            threading.Thread(target=self._answer, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def kill(self, name: str) -> None:
        """Let a node send nothing any more."""
        self.nodes = {k: it for k, it in self.nodes.items() if k != name}

    def forget_orders(self) -> None:
        """Forget what was ordered until now."""
        for it in self.nodes.values():
            it.ordered.clear()

    def all_ordered(self) -> bool:
        """Return whether every session was ordered to start since."""
        return all(it.ordered >= set(it.epochs) for it in self.nodes.values())

    def close(self) -> None:
        """End all nodes."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._redis.close()
        self._raw.close()

    def _beat(self) -> None:
        while not self._stop.wait(_BEAT_SECONDS):
            for it in self.nodes.values():
                self._registry.beat(it.identity, it.metrics(), [])

    def _answer(self) -> None:
        while not self._stop.wait(_POLL_SECONDS):
            for it in self.nodes.values():
                self._answer_orders(it)

    def _answer_orders(self, node: SimulatedNode) -> None:
        name = queues.node(node.identity.name, node.identity.incarnation)
        while not self._stop.is_set():
            job_id: Any = self._raw.lpop(Queue.redis_queue_namespace_prefix + name)
            if job_id is None:
                return
            key = Job.redis_job_namespace_prefix + job_id.decode()
            data: Any = self._raw.hget(key, "data")
            self._raw.delete(key)
            if data:
                [kind, _, _, envelope] = json.loads(zlib.decompress(data))
                self._report(self._carry_out(node, kind, envelope["arguments"]))

    def _carry_out(self, node: SimulatedNode, kind: str, order: Any) -> list[Report]:
        common: dict[str, Any] = {
            "node": node.identity.name,
            "incarnation": node.identity.incarnation,
        }
        if kind == queues.INVENTORY:
            return _inventory(node, order["term"], common)
        answers: list[Report] = []
        if kind == queues.RENEW:
            return answers
        for session, epoch in order["sessions"]:
            if kind == queues.START:
                node.epochs[session] = epoch
                node.ordered.add(session)
                answers.append(Running(**common, session_id=session, epoch=epoch))
            else:
                node.epochs.pop(session, None)
                reason = StopReason.REQUESTED
                answers.append(Stopped(**common, session_id=session, epoch=epoch, reason=reason))
        return answers

    def _report(self, answers: list[Report]) -> None:
        for start in range(0, len(answers), _REPORTS_AT_ONCE):
            report_stream.publish(self._redis, answers[start : start + _REPORTS_AT_ONCE])


def _inventory(node: SimulatedNode, term: int, common: dict[str, str]) -> list[Report]:
    rows = list(node.epochs.items())
    parts = [rows[at : at + _INVENTORY_PART] for at in range(0, len(rows), _INVENTORY_PART)] or [[]]
    return [
        Inventory(
            **common,
            term=term,
            session_ids=tuple(it for it, _ in part),
            epochs=tuple(epoch for _, epoch in part),
            remaining=len(parts) - 1 - number,
        )
        for number, part in enumerate(parts)
    ]
