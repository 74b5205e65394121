"""What the leader makes of the nodes' reports."""

from __future__ import annotations

from support.term_harness import TermHarness, add, running

from afx.cluster import keys, reports
from afx.cluster.reports import Active, FailureReason
from models.storage import assignments, placing, sessions
from models.tables import Session


def started(harness: TermHarness) -> int:
    """Return a session that runs."""
    harness.add_node("w1")
    [session] = add("alice", 1)
    harness.until(lambda: running() == {session})
    return session


def trouble(session: int) -> str:
    return str(sessions.describe(sessions.find(str(session)))["trouble"])


def test_a_report_of_another_epoch_changes_nothing(harness: TermHarness) -> None:
    session = started(harness)
    [before] = assignments.active()
    harness.report_failure(session, epoch=before.epoch - 1)
    for _ in range(3):
        harness.tick()
    assert assignments.active() == [before]
    assert not trouble(session)


def test_a_failed_session_waits_and_says_how_often_it_has_failed(harness: TermHarness) -> None:
    session = started(harness)
    harness.report_failure(session)
    harness.until(lambda: not assignments.active())
    assert trouble(session) == "Telegram refused a request"
    assert not placing.unplaced(10)
    harness.obeying = False
    Session.update(retry_at=None).execute()  # SQL's clock is not the test's
    harness.until(lambda: bool(assignments.active()))
    harness.report_failure(session)
    harness.until(lambda: not assignments.active())
    assert trouble(session) == "Telegram refused a request (2 times in a row)"


def test_a_session_that_lost_its_login_is_paused(harness: TermHarness) -> None:
    session = started(harness)
    harness.report_failure(session, FailureReason.LOGIN_LOST)
    harness.until(lambda: not assignments.active())
    row = sessions.describe(sessions.find(str(session)))
    assert row["desired_state"] == "paused"
    assert "sign in again" in row["trouble"]


def test_a_malformed_report_is_quarantined_and_the_next_ones_are_taken(
    harness: TermHarness,
) -> None:
    session = started(harness)
    harness.redis.xadd(keys.REPORTS, {"reports": '[{"kind": "novel"}]'})
    harness.report_failure(session)
    harness.until(lambda: not assignments.active())
    assert reports.refused_count(harness.redis) == 1


def test_sessions_that_forwarded_something_are_noted_as_active(harness: TermHarness) -> None:
    session = started(harness)
    assert not placing.traits([session])[session].active
    reports.publish(harness.redis, [Active(node="w1", incarnation="w1-1", session_ids=(session,))])
    harness.until(lambda: placing.traits([session])[session].active)


def test_a_new_term_reads_on_where_the_last_one_ended(harness: TermHarness) -> None:
    session = started(harness)
    harness.report_failure(session)
    harness.change_leader()
    harness.until(lambda: not assignments.active())
    assert trouble(session) == "Telegram refused a request"
