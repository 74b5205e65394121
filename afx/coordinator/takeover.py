"""What a new leader reads before it decides anything: a page at a time.

The leader reads all assignments, restores what Redis may have lost, and observes the nodes
between two pages: it is not blind, however many sessions there are. An error of SQL ends a
page, not the takeover.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from afx.cluster.leadership import Leadership
from afx.coordinator.assignments import AssignmentTable
from afx.coordinator.checkpoints import Checkpoints
from afx.coordinator.overflow import Overflow
from afx.coordinator.time_slice import TimeSlice
from models.storage import assignments

_SLICE_SECONDS = 0.1
_ASSIGNMENTS_PER_PAGE = 1000

log = structlog.get_logger()


class Takeover:
    """The beginning of one term."""

    def __init__(
        self,
        leadership: Leadership,
        *,
        table: AssignmentTable,
        checkpoints: Checkpoints,
        overflow: Overflow,
        monotonic: Callable[[], float],
    ) -> None:
        self._leadership = leadership
        self._table = table
        self._checkpoints = checkpoints
        self._overflow = overflow
        self._slice = TimeSlice(_SLICE_SECONDS, monotonic)
        self._last_session = 0
        # Cursors come before any spec: a node that finds a spec has to find the cursor too.
        self._parts = [
            checkpoints.restore_page,
            self._load_page,
            overflow.read_page,
        ]

    @property
    def is_done(self) -> bool:
        """Whether everything is read."""
        return not self._parts

    def step(self) -> None:
        """Read for a slice of time."""
        if not self._slice.run(self._read_page):
            log.info("takeover_read", sessions=len(self._table.active))

    def _read_page(self) -> bool:
        """Read one page; returns whether there is another one. A page may be read again."""
        self._leadership.check()
        has_more = self._parts[0]()
        if not has_more:
            del self._parts[0]
        return bool(self._parts)

    def _load_page(self) -> bool:
        page = assignments.active_page(self._last_session, _ASSIGNMENTS_PER_PAGE)
        if page:
            self._table.load(page)
            self._checkpoints.note(it.session for it in page)
            self._last_session = page[-1].session
        return len(page) == _ASSIGNMENTS_PER_PAGE
