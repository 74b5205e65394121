"""Repeats orders that nodes have not answered, and finds the nodes that never do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from afx.cluster.worker_records import WorkerView
from afx.coordinator.assignments import AssignmentTable
from afx.coordinator.interval import Interval
from afx.coordinator.time_slice import TimeSlice

_RESYNCHRONISE_SECONDS = 1.0
_RESYNCHRONISED_AT_ONCE = 100
_SLICE_SECONDS = 0.02
_REPEAT_SECONDS = 10.0
_CHECK_SECONDS = 0.5


class AnswerCheck:
    """The orders of one term that still lack an answer."""

    def __init__(
        self,
        table: AssignmentTable,
        *,
        answer_seconds: float,
        now: float,
        monotonic: Callable[[], float],
    ) -> None:
        """A node that answers no order for ``answer_seconds`` is unresponsive.

        The term has begun to act ``now``.
        """
        self._table = table
        self._answer_seconds = answer_seconds
        self._resynchronise_at: float | None = now + _RESYNCHRONISE_SECONDS
        self._to_resynchronise: list[int] = []
        self._slice = TimeSlice(_SLICE_SECONDS, monotonic)
        self._interval = Interval(_CHECK_SECONDS)

    def repeat_orders(self, now: float) -> None:
        """Order everything again once at the beginning of a term, then what is late.

        A node that runs a session already only reports it once more. A slice of it is
        ordered in each tick, node after node.
        """
        if self._resynchronise_at is not None and now >= self._resynchronise_at:
            self._resynchronise_at = None
            self._to_resynchronise = [
                it for node in self._table.incarnations() for it in self._table.sessions_on(node)
            ]
        if self._to_resynchronise:
            self._slice.run(lambda: self._resynchronise_some(now))
        if self._interval.is_due(now):
            self._table.repeat_orders(_REPEAT_SECONDS, now)

    def _resynchronise_some(self, now: float) -> bool:
        self._table.resynchronise(self._to_resynchronise[-_RESYNCHRONISED_AT_ONCE:], now)
        del self._to_resynchronise[-_RESYNCHRONISED_AT_ONCE:]
        return bool(self._to_resynchronise)

    def unresponsive(self, nodes: Sequence[WorkerView], now: float) -> Counter[str]:
        """Return incarnation → orders that it has not answered for too long."""
        idle = {it.incarnation for it in nodes if not it.metrics.starting}
        unanswered = self._table.unanswered(idle, self._answer_seconds, now)
        return Counter(it.incarnation for it in unanswered)
