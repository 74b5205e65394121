"""Takes what nodes report, and writes it to SQL: each batch in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import redis
import structlog

from afx.cluster import events, messages, reports
from afx.cluster.reports import (
    Active,
    Batch,
    Died,
    Failed,
    FailureReason,
    Running,
    Stopped,
    Trouble,
)
from afx.coordinator.assignments import AssignmentTable
from afx.coordinator.capacity import Capacity
from afx.coordinator.checkpoints import Checkpoints
from afx.coordinator.decisions import retry_policy
from afx.coordinator.failure_detector import FailureDetector
from models.storage import cluster, placing, troubles
from models.storage.troubles import Failure

log = structlog.get_logger()


class ReportIntake:
    """Reads the stream of reports from where SQL says it was last read.

    A report counts if it is of the session's current assignment; any other is
    outdated. What does not parse is quarantined.
    """

    def __init__(
        self,
        client: redis.Redis,
        *,
        table: AssignmentTable,
        detector: FailureDetector,
        capacity: Capacity,
        checkpoints: Checkpoints,
        block_seconds: float,
        monotonic: Callable[[], float],
    ) -> None:
        """``block_seconds`` is how long ``take`` waits for a report at most."""
        self._redis = client
        self._table = table
        self._detector = detector
        self._capacity = capacity
        self._checkpoints = checkpoints
        self._block_seconds = block_seconds
        self._monotonic = monotonic
        self._last = cluster.reports_read()

    def take(self) -> bool:
        """Take one batch; True when there was none: all reports are read."""
        batch = reports.read(self._redis, self._last, block_seconds=self._block_seconds)
        if batch.last == self._last:
            return True
        reports.quarantine(self._redis, batch.refused)
        self._write(batch, self._monotonic())
        self._last = batch.last
        for it in batch.reports:
            if isinstance(it, Died):
                self._detector.note_witnessed(it.incarnation)
            elif isinstance(it, Trouble):
                self._announce(it)
        return False

    def _write(self, batch: Batch, now: float) -> None:
        running = [it for it in batch.reports if isinstance(it, Running) and self._is_current(it)]
        ended = [
            it for it in batch.reports if isinstance(it, Stopped | Failed) and self._is_current(it)
        ]
        failed = [it for it in ended if isinstance(it, Failed)]
        active = [
            session for it in batch.reports if isinstance(it, Active) for session in it.session_ids
        ]
        with self._table.change(now) as change:
            change.run([self._table.active[it.session_id] for it in running])
            troubles.clear([it.session_id for it in running])
            for it in ended:
                change.end([self._table.active[it.session_id]], messages.ended(it))
            _write_failures(failed)
            placing.note_active(active)
            cluster.set_reports_read(batch.last)
        self._checkpoints.note(active)
        for it in failed:
            self._capacity.note_failure(it.session_id, it.node, now)
            log.warning("session_failed", **_fields(it))

    def _is_current(self, report: Running | Stopped | Failed) -> bool:
        it = self._table.current(report.session_id, report.epoch, report.incarnation)
        return it is not None

    def _announce(self, report: Trouble) -> None:
        log.warning("session_trouble", **_fields(report))
        events.announce(self._redis, "trouble", **_fields(report))


def _write_failures(failed: Sequence[Failed]) -> None:
    """Note why sessions failed and when they are tried again; a lost login is not."""
    counts = troubles.failure_counts([it.session_id for it in failed])
    failures = []
    for it in failed:
        times = counts.get(it.session_id, 0) + 1
        text = messages.repeated(messages.ended(it), times)
        failures.append(Failure(it.session_id, text, retry_policy.pause_seconds(times)))
    troubles.note_failures(failures)
    lost = [it for it in failed if it.reason is FailureReason.LOGIN_LOST]
    troubles.note_lost_logins([(it.session_id, messages.ended(it)) for it in lost])


def _fields(report: Failed | Trouble) -> dict[str, object]:
    return {
        "session": report.session_id,
        "node": report.node,
        "reason": report.reason,
        "text": report.text,
    }
