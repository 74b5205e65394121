"""Finds the nodes that are dead: their sessions are free to run elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import structlog

from afx.cluster.leadership import Leadership
from afx.cluster.registry import Registry
from afx.cluster.witness import Witness
from afx.cluster.worker_records import LIVE_STATES, WorkerView
from afx.coordinator.decisions import liveness
from afx.coordinator.decisions.liveness import DeathReason
from afx.lease import LeaseProfile

log = structlog.get_logger()


class FailureDetector:
    """What one leader has observed of the nodes, on its own monotonic clock."""

    def __init__(
        self,
        registry: Registry,
        profile: LeaseProfile,
        leadership: Leadership,
        *,
        settled_at: float = 0.0,
    ) -> None:
        """``settled_at`` is when no earlier primary of Redis can renew a lease any more.

        Until then a node that is silent here may be renewing its lease there.
        """
        self._registry = registry
        self._profile = profile
        self._leadership = leadership
        self._settled_at = settled_at
        self._witness = Witness()
        self._sightings: dict[str, liveness.Sighting] = {}
        self._fenced_at: dict[str, float] = {}
        self._missing_since: dict[str, float] = {}
        self._witnessed: set[str] = set()
        self._beaten: set[str] = set()

    def close(self) -> None:
        """Close the witness's descriptors."""
        self._witness.close()

    def note_witnessed(self, incarnation: str) -> None:
        """Note that another node on its machine saw all processes of an incarnation end.

        What this coordinator sees for itself on its own machine counts more.
        """
        self._witnessed.add(incarnation)

    def is_alive(self, node: WorkerView, now: float) -> bool:
        """Return whether a node's heartbeat is fresh; a suspect gets no sessions.

        A node whose record was lost since it was read has no heartbeat.
        """
        seen = self._sightings.get(node.incarnation)
        return seen is not None and liveness.health(seen, now, self._profile) == "alive"

    def has_beaten(self, incarnation: str) -> bool:
        """Return whether this leader has seen a node's heartbeat change."""
        return incarnation in self._beaten

    def find_dead(
        self, nodes: Sequence[WorkerView], owners: Iterable[str], now: float
    ) -> dict[str, DeathReason]:
        """Return the incarnations whose sessions are free, with the reason.

        Those are incarnations that have left by themselves, whose processes were
        seen to end, or that were fenced after a whole lease without a heartbeat
        and have had the lock delay to stop. ``owners`` are the incarnations that
        own sessions. Raises FencedError when a newer term has begun.
        """
        before = self._sightings
        self._sightings = liveness.observe(before, ((it.incarnation, it.seq) for it in nodes), now)
        self._beaten |= {
            incarnation
            for incarnation, sighting in self._sightings.items()
            if incarnation in before and sighting != before[incarnation]
        }
        live = [it for it in nodes if it.state in LIVE_STATES]
        processes_gone = self._witness.dead(live)
        processes_gone |= {it for it in self._witnessed if not self._witness.can_judge(it)}
        dead: dict[str, DeathReason] = {}
        for it in nodes:
            if it.state == "left":
                dead[it.incarnation] = DeathReason.LEFT
            elif it.incarnation in processes_gone:
                if self._fence(it):
                    dead[it.incarnation] = DeathReason.PROCESSES_GONE
            elif it.state == "fenced":
                fenced_at = self._fenced_at.setdefault(it.incarnation, now)
                if liveness.may_take_over(fenced_at, now, self._profile):
                    dead[it.incarnation] = DeathReason.LEASE_EXPIRED
            else:
                self._fence_if_silent(it, now)
        return dead | self._missing(nodes, owners, now)

    def _fence_if_silent(self, node: WorkerView, now: float) -> None:
        sighting = self._sightings[node.incarnation]
        if liveness.health(sighting, now, self._profile) != "silent":
            return
        if now < self._settled_at + self._profile.leader:
            return
        if self._fence(node, sighting.seq):
            self._fenced_at[node.incarnation] = now
            log.warning("node_fenced", node=node.name, incarnation=node.incarnation)

    def _fence(self, node: WorkerView, seq: int | None = None) -> bool:
        return self._registry.fence(
            node.name,
            node.incarnation,
            term=self._leadership.term,
            run_id=self._leadership.run_id,
            seq=seq,
        )

    def _missing(
        self, nodes: Sequence[WorkerView], owners: Iterable[str], now: float
    ) -> dict[str, DeathReason]:
        """Return the incarnations that own sessions, have no record, and are dead.

        Another incarnation has their name, or Redis has lost them. Those that left
        by themselves are dead at once; any other may run for a whole lease yet.
        """
        left = {it.ended for it in nodes}
        missing = set(owners) - {it.incarnation for it in nodes}
        first_seen = max(now, self._settled_at)
        self._missing_since = {it: self._missing_since.get(it, first_seen) for it in missing}
        return {
            it: DeathReason.REPLACED
            for it, since in self._missing_since.items()
            if it in left or now - since >= self._profile.takeover
        }
