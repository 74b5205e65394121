"""Repeats orders that nodes have not answered, and finds the nodes that never do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from afx.cluster.worker_records import WorkerView
from afx.coordinator.assignments import AssignmentTable

_RESYNCHRONISE_SECONDS = 1.0
_REPEAT_SECONDS = 10.0


class AnswerCheck:
    """The orders of one term that still lack an answer."""

    def __init__(self, table: AssignmentTable, *, answer_seconds: float, now: float) -> None:
        """A node that answers no order for ``answer_seconds`` is unresponsive."""
        self._table = table
        self._answer_seconds = answer_seconds
        self._resynchronise_at: float | None = now + _RESYNCHRONISE_SECONDS

    def repeat_orders(self, now: float) -> None:
        """Order everything again once at the beginning of a term, then what is late.

        A node that runs a session already only reports it once more.
        """
        if self._resynchronise_at is not None and now >= self._resynchronise_at:
            self._resynchronise_at = None
            self._table.resynchronise(now)
        self._table.repeat_orders(_REPEAT_SECONDS, now)

    def unresponsive(self, nodes: Sequence[WorkerView], now: float) -> Counter[str]:
        """Return incarnation → orders that it has not answered for too long."""
        idle = {it.incarnation for it in nodes if not it.metrics.starting}
        unanswered = self._table.unanswered(idle, self._answer_seconds, now)
        return Counter(it.incarnation for it in unanswered)
