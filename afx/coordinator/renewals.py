"""Filters and transforms that have changed reach the nodes, without a restart of sessions."""

from __future__ import annotations

from afx.cluster.leadership import Leadership
from afx.coordinator.assignments import AssignmentTable
from afx.coordinator.fencing import fenced_transaction
from afx.coordinator.interval import Interval
from models.storage import sessions

_INTERVAL_SECONDS = 0.2
_MOST = 500


class Renewals:
    """The sessions whose nodes know an older content of their rules."""

    def __init__(self, leadership: Leadership, table: AssignmentTable) -> None:
        self._leadership = leadership
        self._table = table
        self._interval = Interval(_INTERVAL_SECONDS)
        self._has_begun = False

    def step(self, now: float) -> None:
        """Order nodes to read what has changed, from time to time.

        A session that is starting may have read the old content: it waits until it runs.
        One that does not run reads the new one when it starts. What is ordered is noted
        after the order: a leader that dies in between is followed by one that repeats it.
        """
        if not self._interval.is_due(now):
            return
        if not self._has_begun:
            # Redis may have lost an order of the term before, and with it the term.
            with fenced_transaction(self._leadership):
                sessions.renew_all()
            self._has_begun = True
        found = sessions.renewing(_MOST)
        if not found:
            return
        states = {it: self._table.active[it].state for it in found if it in self._table.active}
        self._table.renew(it for it, state in states.items() if state == "running")
        done = {it: content for it, content in found.items() if states.get(it) != "assigned"}
        if done:
            with fenced_transaction(self._leadership):
                sessions.note_renewed(done)
