"""Which names of nodes are in use by live nodes of a cluster."""

from __future__ import annotations

import time
from collections.abc import Collection

import redis

from afx.cluster.registry import Registry
from afx.cluster.witness import Witness, boot_id, pid_namespace
from afx.cluster.worker_records import LIVE_STATES, WorkerView

_POLL_SECONDS = 0.1


def names_in_use(
    client: redis.Redis, names: Collection[str], *, seconds: float = 3.0
) -> list[WorkerView]:
    """Return the live nodes that have one of the names.

    A record outlives its node until a leader removes it. So a node of this machine
    counts when its processes exist, and a node of another machine when it sends a
    heartbeat within ``seconds``. A node that is stopping has as long to end.
    """
    registry = Registry(client)
    witness = Witness()
    try:
        first = {it.incarnation: it.seq for it in _live(registry, names)}
        until = time.monotonic() + seconds
        while True:
            found = _live(registry, names)
            dead = witness.dead(found)
            in_use = [
                it
                for it in found
                if it.incarnation not in dead
                and (_is_local(it) or it.seq != first.get(it.incarnation))
            ]
            undecided = any(it.incarnation not in dead for it in found)
            if not undecided or time.monotonic() > until:
                return in_use
            time.sleep(_POLL_SECONDS)
    finally:
        witness.close()


def _live(registry: Registry, names: Collection[str]) -> list[WorkerView]:
    return [it for it in registry.all() if it.name in names and it.state in LIVE_STATES]


def _is_local(node: WorkerView) -> bool:
    here = (boot_id(), pid_namespace())
    return all(here) and (node.boot_id, node.pid_namespace) == here
