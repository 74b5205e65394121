"""Starts and stops nodes as the leader recommends; ``NodeProvider`` says what can do so."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import redis

from afx.cluster import scaling_record
from afx.cluster.registry import Registry
from afx.cluster.scaling_record import ScalingRecord
from afx.cluster.worker_records import LIVE_STATES, WorkerView

_STALE = "stale"


class NodeProvider(Protocol):
    """Starts and stops nodes. What it starts registers by itself; nobody tells the cluster."""

    def nodes(self) -> frozenset[str]:
        """Return its nodes that have not ended, without those that are being stopped."""

    def starting(self, live: Collection[str]) -> int:
        """Return how many nodes of this machine run and are not among the live ones yet."""

    def is_stopping(self) -> bool:
        """Return whether it is stopping a node."""

    def start(self, taken: Collection[str]) -> bool:
        """Start one node, with none of the names; False when it cannot now."""

    def stop(self, name: str) -> None:
        """Begin to drain a node; it ends when it is empty, and stays when that is impossible."""

    def keep(self) -> bool:
        """Keep a node that is being drained; False when there is none."""

    def step(self) -> None:
        """Go on with what is under way, without waiting."""


@dataclass(slots=True, frozen=True)
class Change:
    """What the provider is to do now."""

    start: int = 0
    stop: str = ""
    """The node to drain; empty: none."""


def due_change(
    record: ScalingRecord,
    nodes: Sequence[WorkerView],
    own: frozenset[str],
    *,
    starting: int,
    is_stopping: bool,
    most_own: int,
) -> Change:
    """Return what brings the cluster to its recommended size; a pure decision.

    Nodes that are ``starting`` count as there. One node at a time is
    stopped, only ours, and only one that the leader has named: it was quiet, and the
    others have room for its sessions. We have ``most_own`` at most.
    """
    ready = {it.node for it in nodes if it.state == "ready"}
    missing = record.desired - len(ready) - starting
    if missing > 0:
        return Change(start=max(0, min(missing, most_own - len(own))))
    if record.decision != "in" or is_stopping or len(ready) <= record.desired:
        return Change()
    named = (*record.removable, *record.alternatives)
    return Change(stop=next((it for it in named if it in own & ready), ""))


class Autoscaler:
    """Follows the recommendation; it holds while Redis is away or the figures are stale."""

    def __init__(
        self,
        provider: NodeProvider,
        client: redis.Redis,
        *,
        most_own: int,
        notify: Callable[[str], None],
    ) -> None:
        """``most_own`` is how many nodes the provider may have; ``notify`` gets each line."""
        self._provider = provider
        self._redis = client
        self._registry = Registry(client)
        self._most_own = most_own
        self._notify = notify

    def step(self) -> None:
        """Look once, and do what is due."""
        self._provider.step()
        try:
            record = scaling_record.read(self._redis)
            nodes = self._registry.all()
        except redis.RedisError:
            return
        if record is None or record.reason == _STALE:
            return
        change = due_change(
            record,
            nodes,
            self._provider.nodes(),
            starting=self._provider.starting({it.name for it in nodes if it.state in LIVE_STATES}),
            is_stopping=self._provider.is_stopping(),
            most_own=self._most_own,
        )
        taken = {it.name for it in nodes}
        for _ in range(change.start):
            if self._provider.keep():
                self._notify("a node that was being drained stays: it is needed again")
            elif self._provider.start(taken):
                self._notify(f"a node is started: {record.text}")
            else:
                break
        if change.stop:
            self._notify(f"{change.stop} is drained: {record.text}")
            self._provider.stop(change.stop)
