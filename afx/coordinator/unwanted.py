"""Stops the sessions that should not run as they do, and removes those to be removed."""

from __future__ import annotations

from collections.abc import Iterable

import redis

from afx.cluster import keys
from afx.cluster.leadership import Leadership
from afx.coordinator.assignments import AssignmentTable
from afx.coordinator.fencing import fenced_transaction
from afx.coordinator.interval import Interval
from afx.coordinator.placement_schedule import PlacementSchedule
from afx.coordinator.session_scan import Range, SessionScan
from models.storage import assignments, sessions
from models.storage.assignments import Active

_INTERVAL_SECONDS = 0.5
_REMOVED_PER_ROUND = 1000
_HURRIED = 500


class UnwantedSessions:
    """The sessions that SQL says should not run: paused, changed or to be removed."""

    def __init__(
        self,
        client: redis.Redis,
        leadership: Leadership,
        table: AssignmentTable,
        schedule: PlacementSchedule,
    ) -> None:
        self._redis = client
        self._leadership = leadership
        self._table = table
        self._schedule = schedule
        self._interval = Interval(_INTERVAL_SECONDS)
        self._scan = SessionScan()
        self._asked: frozenset[int] = frozenset()

    def stop_and_remove(self, now: float) -> None:
        """Stop and remove what is due, from time to time, a range of sessions in each tick."""
        if self._scan.is_under_way or self._interval.is_due(now):
            part = self._scan.current()
            self._stop(part, now)
            if not self._scan.advance(part):
                self._remove()

    def stop_soon(self, asked: frozenset[int], now: float) -> None:
        """Stop sessions that operators have just let stop, before the pass comes to them.

        ``asked`` are all for which that is not done; each is hurried once, and only so many.
        """
        if asked is self._asked:
            return
        fresh = sorted(asked - self._asked)[:_HURRIED]
        self._asked = asked
        if fresh:
            self._stop_those(assignments.undesired(only=fresh), now)

    def _stop(self, part: Range, now: float) -> None:
        self._stop_those(assignments.undesired(part.beyond, part.to), now)

    def _stop_those(self, undesired: Iterable[Active], now: float) -> None:
        unwanted = [
            it.session
            for it in undesired
            if self._table.current(it.session, it.epoch, it.incarnation)
        ]
        if unwanted:
            self._table.stop(unwanted, now)

    def _remove(self) -> None:
        """Remove the sessions that are to be removed and that no node runs any more."""
        ids = [it for it in sessions.removable(_REMOVED_PER_ROUND) if it not in self._table.active]
        if not ids:
            return
        with fenced_transaction(self._leadership):
            sessions.remove_many(ids)
        self._schedule.note_gone(ids)
        # Ids are never used again: these keys would only take up memory.
        self._redis.delete(*(key for session in ids for key in _keys(session)))


def _keys(session: int) -> tuple[str, ...]:
    return (
        keys.spec(session),
        keys.cursor(session),
        keys.entities(session),
        keys.assignment(session),
    )
