"""Relieves host processes that use too much RAM: by moves, then by a new host process."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import redis
import structlog

from afx.cluster import events
from afx.cluster.leadership import Leadership
from afx.cluster.worker_records import WorkerView
from afx.config import Settings
from afx.coordinator.capacity import Capacity
from afx.coordinator.decisions import hibernation, ram_relief
from afx.coordinator.decisions.hibernation import Quiet
from afx.coordinator.decisions.ram_relief import HostMemory, Limits, Relief, Sample
from afx.coordinator.fencing import fenced_transaction
from afx.coordinator.interval import Interval
from afx.coordinator.wire import Headroom
from afx.errors import UsageError
from models.storage import controls, placing
from models.storage.control_subjects import NodeSubject

_ACTOR = "coordinator"
_CHECK_SECONDS = 5.0
_SAMPLE_SECONDS = 60.0
_MOVED_AT_ONCE = 20
_REST_SECONDS = 60.0
"""A host's RAM is free only some time after its sessions have moved."""
_REPLACED_REST_SECONDS = 24 * 3600.0
"""What sessions really need does not fall when their host is replaced."""
_KINDS = tuple(str(it) for it in (Relief.REPLACE, Relief.RECYCLE))
_BUSY = ("replacing", "recycling", "stopping")

log = structlog.get_logger()


class RamRelief:
    """The hosts that use too much RAM, in one term."""

    def __init__(
        self, settings: Settings, client: redis.Redis, leadership: Leadership, capacity: Capacity
    ) -> None:
        self._redis = client
        self._leadership = leadership
        self._capacity = capacity
        self._headroom = Headroom.from_settings(settings)
        self._limits = Limits(settings.ram_replace_factor, settings.ram_growth_hours)
        self._interval = Interval(_CHECK_SECONDS)
        self._sample_interval = Interval(_SAMPLE_SECONDS)
        self._samples: dict[str, list[Sample]] = {}
        self._moved: dict[str, tuple[int, int, float]] = {}
        """incarnation → bytes that had to move, that have moved, until when it rests."""
        self._replaced_at: dict[str, list[float]] = {}
        """node → when the replacement of one of its hosts was requested in the last day."""

    def step(self, nodes: Sequence[WorkerView], now: float) -> dict[int, str]:
        """Request what is due; returns the moves (session → any node) among it."""
        if not self._interval.is_due(now):
            return {}
        if self._sample_interval.is_due(now):
            self._samples = {
                it.incarnation: ram_relief.noted(
                    self._samples.get(it.incarnation, ()),
                    Sample(now, it.metrics.rss, it.metrics.sessions),
                )
                for it in nodes
            }
        present = {it.incarnation for it in nodes}
        self._moved = {k: it for k, it in self._moved.items() if k in present}
        for node in nodes:
            if node.state == "ready" and not node.faults:
                found = self._relieve(node, nodes, now)
                if found is not None:
                    return found
        return {}

    def _relieve(
        self, node: WorkerView, nodes: Sequence[WorkerView], now: float
    ) -> dict[int, str] | None:
        """Do what is due about one host; None when nothing is."""
        memory = self._memory(node)
        if memory is None:
            return None
        if memory.free >= 0:
            self._moved.pop(node.incarnation, None)
        due = ram_relief.relief(memory, self._limits)
        if due is Relief.MOVE:
            others = any(it.state == "ready" and it.node != node.node for it in nodes)
            return self._move(node, memory, now) if others else None
        if due is Relief.NONE or self._rests(node, now) or _is_busy(nodes, due):
            return None
        self._request(node, due, memory, now)
        return {}

    def _rests(self, node: WorkerView, now: float) -> bool:
        """Return whether as many hosts of a node were replaced as it has, in one day."""
        last = self._replaced_at.get(node.node)
        if last is None:  # what an earlier leader has requested counts, too
            seconds = _REPLACED_REST_SECONDS
            found = controls.ages(node.node, kinds=_KINDS, actor=_ACTOR, within_seconds=seconds)
            last = [now - it for it in found]
        last = [it for it in last if now - it < _REPLACED_REST_SECONDS]
        self._replaced_at[node.node] = last
        return len(last) >= node.shares

    def _memory(self, node: WorkerView) -> HostMemory | None:
        """Return what a host uses; None for one of which that is not known yet."""
        empty = self._capacity.empty_rss(node.incarnation)
        needed = self._capacity.needed(node.incarnation)
        if empty is None or needed is None:
            return None
        metrics = node.metrics
        free = metrics.ram_free - max(0, node.reserved) - self._headroom.of(node)
        to_move, moved, _ = self._moved.get(node.incarnation, (0, 0, 0.0))
        return HostMemory(
            used=max(0, metrics.rss - empty),
            needed=needed,
            free=free,
            moved=moved,
            to_move=to_move,
            hours_left=ram_relief.hours_left(self._samples.get(node.incarnation, ()), free),
        )

    def _move(self, node: WorkerView, memory: HostMemory, now: float) -> dict[int, str] | None:
        to_move, moved, until = self._moved.get(node.incarnation, (0, 0, 0.0))
        if now < until:
            return None
        needed = hibernation.needed_bytes(memory.free, node.metrics.ram_limit)
        candidates = {
            it.session: Quiet(
                it.session,
                it.tier == "premium",
                it.idle,
                self._capacity.cost(it.tier == "premium", it.active),
            )
            for it in placing.running(timedelta(), workers=[node.name])
            if it.incarnation == node.incarnation
        }
        found = hibernation.chosen(candidates.values(), needed, 0.0, _MOVED_AT_ONCE)
        freed = sum(candidates[it].bytes for it in found)
        until = now + _REST_SECONDS
        self._moved[node.incarnation] = (to_move or needed, moved + freed, until)
        if found:
            log.warning("ram_short", node=node.name, sessions=len(found), bytes=needed)
        return dict.fromkeys(found, "")

    def _request(self, node: WorkerView, due: Relief, memory: HostMemory, now: float) -> None:
        """Request that a host is replaced or recycled, unless that is under way."""
        note = f"it uses {memory.used >> 20} MiB for what needs {int(memory.needed) >> 20}"
        if memory.hours_left is not None:
            note += f", and is full in {memory.hours_left:.1f} hours at this trend"
        try:
            with fenced_transaction(self._leadership):
                controls.request(
                    kind=str(due),
                    subject=NodeSubject(node.name),
                    actor=_ACTOR,
                    incarnation=node.incarnation,
                    note=note,
                )
        except UsageError as error:
            log.info("control_superseded", node=node.name, reason=str(error))
            self._replaced_at[node.node].append(now)
            return
        self._replaced_at[node.node].append(now)
        log.warning("host_bloated", node=node.name, remedy=str(due), reason=note)
        events.announce(self._redis, "host_bloated", node=node.name, remedy=str(due), reason=note)


def _is_busy(nodes: Sequence[WorkerView], due: Relief) -> bool:
    """Return whether another host is replaced already: one at a time, for each moves many.

    One that is drained, and may have no room for long, hinders only what drains another one.
    """
    busy = (*_BUSY, "draining") if due is Relief.RECYCLE else _BUSY
    return any(it.state in busy for it in nodes)
