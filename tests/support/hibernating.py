"""Sessions that hibernate under a leader in the test's process."""

from __future__ import annotations

from datetime import timedelta

from support.term_harness import TermHarness

from afx.cluster import report_stream
from afx.cluster.reports import CaughtUp
from models.base import utc_now
from models.storage import assignments, hibernation, sessions
from models.tables import Session

_SOON = timedelta(minutes=10)


def session(session_id: int) -> Session:
    found: Session = Session.get_by_id(session_id)
    return found


def sleep(*ids: int, after: timedelta = _SOON) -> None:
    """Let sessions hibernate on request; each wakes after a time."""
    for it in ids:
        hibernation.request(session(it), utc_now() + after)


def caught_up(harness: TermHarness, *ids: int) -> None:
    """Report that sessions have caught up where they run."""
    for it in assignments.active():
        if it.session in ids:
            origin = {"node": it.worker, "incarnation": it.incarnation}
            report = CaughtUp(**origin, session_ids=(it.session,), epochs=(it.epoch,))
            report_stream.publish(harness.redis, [report])


def state(session_id: int) -> str:
    return str(sessions.describe(session(session_id))["state"])


def ticks(harness: TermHarness, count: int = 20) -> None:
    for _ in range(count):
        harness.tick()
