"""Coordinators that begin anew because an operator asked: standbys first, then the leader.

The request is a control of kind ``recycle`` that names no node. Whoever was there
before it ends with ``CoordinatorRestart.is_due``, and is started again by its command; the
first leader that was not there before notes that it is done.
"""

from __future__ import annotations

from collections.abc import Iterable

from afx.coordinator.decisions.control_progress import STANDBYS_SECONDS
from models.storage import controls
from models.tables import WorkerControl


class CoordinatorRestart:
    """What one coordinator's process knows of its end."""

    def __init__(self) -> None:
        self._first = controls.newest() + 1
        """The oldest control that was asked for since this process began."""
        self._heard: dict[int, float] = {}
        """Control → when it was first seen, in monotonic seconds."""

    def is_older_than(self, control: WorkerControl) -> bool:
        """Return whether this process was there before a control was asked for."""
        return bool(control.id >= self._first)

    def waited(self, control: WorkerControl, now: float) -> float:
        """Return for how many seconds this process has known of a control."""
        return now - self._heard.setdefault(control.id, now)

    def is_due(self, opened: Iterable[WorkerControl], now: float, *, leads: bool) -> bool:
        """Return whether this process has to end now, to begin anew.

        A leader does so a while later than its standbys.
        """
        patience = STANDBYS_SECONDS if leads else 0.0
        return any(
            self.is_older_than(it) and self.waited(it, now) >= patience
            for it in opened
            if is_for_coordinators(it)
        )


def is_for_coordinators(control: WorkerControl) -> bool:
    """Return whether a control is to recycle the coordinators."""
    return control.kind == "recycle" and not control.worker and control.session_id is None
