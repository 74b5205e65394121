"""Sessions that begin to hibernate by themselves: those without a rule, and quiet ones.

The latter only on nodes that are short of RAM, and only when a setting says so.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import structlog

from afx.cluster.leadership import Leadership
from afx.cluster.worker_records import WorkerView
from afx.config import Settings
from afx.coordinator.capacity import Capacity
from afx.coordinator.decisions import hibernation as decisions
from afx.coordinator.decisions.hibernation import Quiet, Times
from afx.coordinator.fencing import fenced_transaction
from afx.coordinator.interval import Interval
from afx.coordinator.session_scan import SessionScan
from afx.coordinator.wire import Headroom
from models.storage import hibernation, placing

_SCAN_SECONDS = 30.0
_RAM_SECONDS = 5.0
_RAM_REST_SECONDS = 60.0
"""A node's RAM is free only some time after its sessions have ended."""
_QUIET_AT_ONCE = 50

log = structlog.get_logger()


class IdleSessions:
    """Lets sessions hibernate that need no live connection, in one term of leadership."""

    def __init__(
        self,
        settings: Settings,
        leadership: Leadership,
        capacity: Capacity,
        *,
        rng: random.Random,
        clock: Callable[[], float],
    ) -> None:
        """``clock`` is the wall clock: SQL says when sessions wake."""
        self._times = Times.from_settings(settings)
        self._headroom = Headroom.from_settings(settings)
        self._leadership = leadership
        self._capacity = capacity
        self._rng = rng
        self._clock = clock
        self._scan_interval = Interval(_SCAN_SECONDS)
        self._ram_interval = Interval(_RAM_SECONDS)
        self._scan = SessionScan()
        self._resting: dict[str, float] = {}
        """incarnation → until when its RAM may fall by itself."""

    def step(self, nodes: Sequence[WorkerView], now: float) -> None:
        """Let those begin to hibernate for which it is time."""
        self._begin_without_rule(now)
        if self._times.quiet and self._ram_interval.is_due(now):
            self._begin_on_full_nodes(nodes, now)

    def _begin_without_rule(self, now: float) -> None:
        """Let sessions hibernate that have had no enabled rule for long, a range at a time."""
        if self._scan.is_under_way or self._scan_interval.is_due(now):
            part = self._scan.current()
            self._wake_with_rule(hibernation.with_rule(part.beyond, part.to))
            if self._times.unused:
                age = timedelta(seconds=max(self._times.unused, self._times.fresh))
                before = self._utc_now() - age
                self._begin(hibernation.without_rule(part.beyond, part.to, before), "no_rule")
            self._scan.advance(part)

    def _wake_with_rule(self, ids: Sequence[int]) -> None:
        """Wake sessions for good that have got a rule just as they fell asleep."""
        if ids:
            with fenced_transaction(self._leadership):
                hibernation.wake_for_rules(ids)
            log.warning("sessions_with_rules_woken", sessions=len(ids))

    def _begin_on_full_nodes(self, nodes: Sequence[WorkerView], now: float) -> None:
        """Let quiet sessions hibernate on nodes that are short of RAM."""
        self._resting = {it: until for it, until in self._resting.items() if until > now}
        for node in nodes:
            metrics = node.metrics
            free = metrics.ram_free - self._headroom.of(node)
            needed = decisions.needed_bytes(free, metrics.ram_limit)
            if node.state != "ready" or not needed or node.incarnation in self._resting:
                continue
            quiet = [
                Quiet(it.session, premium, it.idle, self._capacity.cost(premium, it.active))
                for it in placing.running(timedelta(), workers=[node.name])
                if it.incarnation == node.incarnation
                for premium in (it.tier == "premium",)
            ]
            old = hibernation.older_than(
                [it.session for it in quiet], self._utc_now() - timedelta(seconds=self._times.fresh)
            )
            busy = hibernation.with_tasks(list(old))
            found = decisions.chosen(
                (it for it in quiet if it.session in old and it.session not in busy),
                needed,
                self._times.quiet,
                _QUIET_AT_ONCE,
            )
            self._begin({it: old[it] for it in found}, "quiet")
            if found:
                self._resting[node.incarnation] = now + _RAM_REST_SECONDS
                log.info("quiet_sessions_hibernate", node=node.name, sessions=len(found))

    def _begin(self, revisions: Mapping[int, int], reason: str) -> None:
        """Let sessions hibernate, given as session → the revision under which it was chosen."""
        if revisions:
            now, days = self._utc_now(), hibernation.login_days(sorted(revisions))
            rows = [
                (it, revision, now + timedelta(seconds=self._sleep_seconds(reason, days.get(it))))
                for it, revision in sorted(revisions.items())
            ]
            with fenced_transaction(self._leadership):
                hibernation.begin(rows, reason)

    def _sleep_seconds(self, reason: str, login_days: int | None) -> float:
        return decisions.sleep_seconds(reason, self._times, self._rng.random(), login_days)

    def _utc_now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)
