"""For tests of the Lua scripts: a registry, and calls with short arguments."""

from __future__ import annotations

import redis as redis_module

from afx.cluster import keys
from afx.cluster.registry import Registry
from afx.cluster.scripts import FencedScript
from afx.cluster.worker_records import Identity, Metrics
from afx.coordinator.decisions.placement import Placement
from afx.coordinator.wire import (
    Headroom,
    place_item,
    reserve_item,
)
from models.storage.assignments import Active

MIB = 1024 * 1024


IDLE = Metrics(
    rss=100 * MIB,
    ram_free=1000 * MIB,
    ram_limit=2000 * MIB,
    cpu=0.1,
    sessions=0,
    starting=0,
    forwarded=0,
)


NO_HEADROOM = Headroom()


def identity(incarnation: str = "one", most: int = 10) -> Identity:
    return Identity("w1", incarnation, "host", "boot", "pids", "1:1", most)


class ReconcilingRegistry(Registry):
    """Reconciles each node as soon as it has registered, as a leader does."""

    def register(self, identity: Identity, metrics: Metrics) -> bool:
        done = super().register(identity, metrics)
        terms = {it.name: it.reconciled_term for it in self.all()}
        if done and terms[identity.name] != 5 and self._redis.get(keys.TERM) == "5":
            self.reconcile(identity.name, identity.incarnation, (), 5)
        return done


def place(redis: redis_module.Redis, *items: tuple[Active, int], term: int = 5) -> list[str]:
    script = FencedScript(redis, "place")
    return list(script(term, args=[place_item(it, size, NO_HEADROOM) for it, size in items]))


def reserve(redis: redis_module.Redis, *items: Placement, premium_share: float = 0.0) -> list[str]:
    script = FencedScript(redis, "reserve")
    return list(script(5, args=[reserve_item(it, NO_HEADROOM, premium_share) for it in items]))


def fence(
    registry: Registry, incarnation: str, *, term: int = 5, seq: int | None = None, run_id: str = ""
) -> bool:
    """Fence node w1 as a leader does that was elected in the present Redis process."""
    run_id = run_id or str(registry._redis.info("server")["run_id"])
    return registry.fence("w1", incarnation, term=term, run_id=run_id, seq=seq)


def active(session: int, epoch: int, incarnation: str = "one") -> Active:
    return Active(session, "w1", incarnation, epoch, "assigned")
