"""The restart of all coordinators: the standbys first, then the leader.

A process that was running before the control was requested ends when
``CoordinatorRestart.is_due``, and its command starts it again. The first leader that
was not running before notes that the control is done.
"""

from __future__ import annotations

from collections.abc import Iterable

from afx.coordinator.decisions.control_progress import (
    STANDBY_HEAD_START_SECONDS,
    CoordinatorsSnapshot,
)
from models.errors import translated
from models.storage import controls
from models.storage.control_subjects import Control, CoordinatorsSubject


class CoordinatorRestart:
    """What one coordinator's process knows of controls that restart it."""

    def __init__(self) -> None:
        """Raises UnreachableError, or StorageError, while the database is away."""
        with translated():
            self._newest_at_start = controls.newest()
        """The newest control that was requested before this process started."""
        self._first_seen: dict[int, float] = {}
        """Control → when this process first saw it, in monotonic seconds."""

    def snapshot(self, control: Control, now: float) -> CoordinatorsSnapshot:
        """Return what decides how far a control has come."""
        return CoordinatorsSnapshot(
            is_older=control.id > self._newest_at_start,
            waited_seconds=now - self._first_seen.setdefault(control.id, now),
        )

    def is_due(self, opened: Iterable[Control], now: float, *, leads: bool) -> bool:
        """Return whether this process has to end now, to be started again.

        A leader waits a while, so that its standbys restart first.
        """
        wait = STANDBY_HEAD_START_SECONDS if leads else 0.0
        snapshots = [
            self.snapshot(it, now) for it in opened if isinstance(it.subject, CoordinatorsSubject)
        ]
        return any(it.is_older and it.waited_seconds >= wait for it in snapshots)
