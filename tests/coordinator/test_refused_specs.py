"""A spec in Redis that no coordinator has written: refused, recorded, written again."""

from __future__ import annotations

from support.term_harness import AUDIT_KEY, SIGNING_KEYS, TermHarness, add, running

from afx.cluster import events, keys, refused_specs
from afx.cluster.specs import SessionSpec, open_spec
from afx.reasons import FailureReason
from models.storage import assignments, audit
from models.tables import Session


def refused(harness: TermHarness, reason: FailureReason = FailureReason.SPEC_INVALID) -> int:
    """Return a session whose spec was changed in Redis, and refused by its node."""
    harness.add_node("w1")
    [session] = add("alice", 1)
    harness.until(lambda: running() == {session})
    harness.redis.set(keys.spec(session), "forged")
    harness.report_failure(session, reason)
    harness.until(lambda: not assignments.active())
    return session


def published(harness: TermHarness, session: int) -> SessionSpec:
    [active] = assignments.active()
    stored = str(harness.redis.get(keys.spec(session)))
    return open_spec(SIGNING_KEYS, stored, session_id=session, epoch=active.epoch)


def test_a_spec_is_signed_for_the_assignment_that_it_was_written_for(harness: TermHarness) -> None:
    harness.add_node("w1")
    [session] = add("alice", 1)
    harness.until(lambda: running() == {session})
    spec = published(harness, session)
    assert spec.revision == Session.get_by_id(session).revision
    assert [(it.sources, it.destinations) for it in spec.rules] == [(("-1",), ("-2",))]


def test_a_refused_spec_is_written_again_from_sql(harness: TermHarness) -> None:
    session = refused(harness)
    Session.update(retry_at=None).execute()  # SQL's clock is not the test's
    harness.until(lambda: running() == {session})
    assert published(harness, session).rules


def test_a_refused_spec_is_counted_kept_and_announced(harness: TermHarness) -> None:
    session = refused(harness)
    assert refused_specs.count(harness.redis) == 1
    [(_, row)] = harness.redis.xrange(keys.SPECS_REFUSED)
    assert (row["session"], row["node"], row["spec"]) == (str(session), "w1", "forged")
    kinds = [it["kind"] for it in events.watch(harness.redis, "0")[1]]
    assert "specs_refused" in kinds


def test_a_refused_spec_has_an_entry_in_the_audit_log(harness: TermHarness) -> None:
    session = refused(harness, FailureReason.SPEC_OUTDATED)
    [entry] = audit.listing(action="spec.refused").rows
    assert entry["target"] == f"session/{session}"
    assert entry["details"]["specs"][0]["reason"] == "spec_outdated"
    assert audit.verify([AUDIT_KEY]).faults == ()


def test_a_spec_that_is_missing_is_no_attack(harness: TermHarness) -> None:
    refused(harness, FailureReason.SPEC_MISSING)
    assert refused_specs.count(harness.redis) == 0
    assert audit.head()[0] == 0


def test_keys_of_a_wrong_type_do_not_stop_the_leader(harness: TermHarness) -> None:
    harness.redis.set(keys.SPECS_REFUSED, "no stream")
    harness.redis.rpush(keys.SPECS_REFUSED_COUNT, "no number")
    refused(harness)
    assert audit.head()[0] == 1
