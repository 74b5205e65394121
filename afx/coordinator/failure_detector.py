"""Finds the nodes whose sessions are free to be given to others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import structlog

from afx.cluster.registry import LIVE_STATES, Registry, WorkerView
from afx.cluster.witness import Witness
from afx.coordinator.decisions import liveness
from afx.lease import LeaseProfile

log = structlog.get_logger()


class FailureDetector:
    """What one leader has seen of the nodes, on its own monotonic clock."""

    def __init__(self, registry: Registry, profile: LeaseProfile) -> None:
        self._registry = registry
        self._profile = profile
        self._witness = Witness()
        self._sightings: dict[str, liveness.Sighting] = {}
        self._fenced_at: dict[str, float] = {}
        self._missing_since: dict[str, float] = {}
        self._witnessed: set[str] = set()
        self._beaten: set[str] = set()

    def close(self) -> None:
        """Let go of the witness's descriptors."""
        self._witness.close()

    def note_witnessed(self, incarnation: str) -> None:
        """Take a node's word that all processes of another one are gone."""
        self._witnessed.add(incarnation)

    def is_alive(self, node: WorkerView, now: float) -> bool:
        """Return whether a node's heartbeat is fresh; a suspect gets no sessions."""
        return liveness.health(self._sightings[node.incarnation], now, self._profile) == "alive"

    def has_beaten(self, incarnation: str) -> bool:
        """Return whether this leader has seen a node alive: a heartbeat, not a record."""
        return incarnation in self._beaten

    def look(
        self, nodes: Sequence[WorkerView], owners: Iterable[str], term: int, now: float
    ) -> dict[str, str]:
        """Return the incarnations whose sessions are free, with the reason.

        Free is what has left by itself, what a witness saw die, and what was
        fenced after a whole lease of silence and has had the lock delay to stop.
        ``owners`` are the incarnations that own sessions. Raises FencedError
        when a newer leader rules.
        """
        before = self._sightings
        self._sightings = liveness.observe(before, ((it.incarnation, it.seq) for it in nodes), now)
        self._beaten |= {
            it for it, held in self._sightings.items() if it in before and held != before[it]
        }
        live = [it for it in nodes if it.state in LIVE_STATES]
        seen_dead = self._witness.dead(live) | self._witnessed
        free: dict[str, str] = {}
        for it in nodes:
            if it.state == "left":
                free[it.incarnation] = "left"
            elif it.incarnation in seen_dead:
                if self._registry.fence(it.name, it.incarnation, term):
                    free[it.incarnation] = "its processes are gone"
            elif it.state == "fenced":
                fenced_at = self._fenced_at.setdefault(it.incarnation, now)
                if liveness.may_take_over(fenced_at, now, self._profile):
                    free[it.incarnation] = "it fell silent"
            else:
                self._fence_if_silent(it, term, now)
        return free | self._missing(nodes, owners, now)

    def _fence_if_silent(self, node: WorkerView, term: int, now: float) -> None:
        sighting = self._sightings[node.incarnation]
        if liveness.health(sighting, now, self._profile) != "silent":
            return
        if self._registry.fence(node.name, node.incarnation, term, sighting.seq):
            self._fenced_at[node.incarnation] = now
            log.warning("node_fenced", node=node.name, incarnation=node.incarnation)

    def _missing(
        self, nodes: Sequence[WorkerView], owners: Iterable[str], now: float
    ) -> dict[str, str]:
        """Return incarnations that own sessions, and have no record any more.

        Their name has a later incarnation, or Redis has lost them. Free at once
        is only what left by itself; all else may live for a whole lease yet.
        """
        left = {it.ended for it in nodes}
        missing = set(owners) - {it.incarnation for it in nodes}
        self._missing_since = {it: self._missing_since.get(it, now) for it in missing}
        return {
            it: "replaced"
            for it, since in self._missing_since.items()
            if it in left or now - since >= self._profile.takeover
        }
