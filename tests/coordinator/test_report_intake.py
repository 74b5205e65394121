"""What the leader makes of the nodes' reports."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import peewee
import pytest
from support.term_harness import TermHarness, add, running

from afx.cluster import events, keys, quarantine, report_stream, reports, rule_counts
from afx.cluster.reports import Active, DeadLettered, DeadRevived, RuleStopped
from afx.cluster.rule_counts import RuleTally
from afx.coordinator.dead_letter_expiry import ACTION
from afx.reasons import DeadReason, FailureReason, StopReason, TroubleReason
from models.base import execute, micros, transaction, utc_now
from models.storage import (
    assignments,
    audit,
    cluster,
    dead_letters,
    hibernation,
    placing,
    rule_analytics,
    rules,
    sessions,
    troubles,
)
from models.storage.dead_letters import Undelivered
from models.storage.sessions import NewSession
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


def test_a_failed_session_waits_and_shows_its_number_of_failures(harness: TermHarness) -> None:
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


def test_a_lost_login_that_was_replaced_meanwhile_pauses_nothing(harness: TermHarness) -> None:
    session = started(harness)
    harness.obeying = False
    row = sessions.find(str(session))
    sessions.replace_login(row, NewSession(row.name, "sealed", "f" * 64, session, 5))
    harness.report_failure(session, FailureReason.LOGIN_LOST)
    harness.until(lambda: len({it.epoch for it in harness.orders.sent}) == 2)
    found = sessions.describe(sessions.find(str(session)))
    assert (found["desired_state"], found["trouble"], found["health"]) == ("running", "", "healthy")


def test_a_malformed_report_is_quarantined_and_the_next_ones_are_taken(
    harness: TermHarness,
) -> None:
    session = started(harness)
    harness.redis.xadd(keys.REPORTS, {"reports": '[{"kind": "novel"}]'})
    harness.report_failure(session)
    harness.until(lambda: not assignments.active())
    assert quarantine.refused_count(harness.redis) == 1


def test_sessions_that_forwarded_something_are_noted_as_active(harness: TermHarness) -> None:
    session = started(harness)
    assert not placing.traits([session])[session].active
    report_stream.publish(
        harness.redis, [Active(node="w1", incarnation="w1-1", session_ids=(session,))]
    )
    harness.until(lambda: placing.traits([session])[session].active)


def test_a_new_term_reads_on_where_the_last_one_ended(harness: TermHarness) -> None:
    session = started(harness)
    harness.report_failure(session)
    harness.change_leader()
    harness.until(lambda: not assignments.active())
    assert trouble(session) == "Telegram refused a request"


def test_texts_that_no_database_can_store_are_quarantined(harness: TermHarness) -> None:
    """Half a surrogate pair has no UTF-8 form; PostgreSQL refuses NUL."""
    session = started(harness)
    [active] = assignments.active()
    row = {
        "kind": "failed",
        "node": active.worker,
        "incarnation": active.incarnation,
        "session_id": session,
        "epoch": active.epoch,
        "reason": "telegram_error",
    }
    bad = [
        {**row, "text": "\ud800"},
        {**row, "text": "\0"},
        {**row, "kind": "trouble", "reason": "send_failed", "text": "\udfff"},
        {"kind": "died", "node": "w9", "incarnation": "x", "\ud800": 1},
    ]
    harness.redis.xadd(keys.REPORTS, {"reports": json.dumps(bad)})
    harness.until(lambda: quarantine.refused_count(harness.redis) == 4)
    assert assignments.active() == [active]


def test_an_entry_that_is_not_utf_8_is_passed_over(harness: TermHarness) -> None:
    session = started(harness)
    harness.redis.xadd(keys.REPORTS, {"reports": b"\xff"})
    harness.report_failure(session)
    harness.until(lambda: not assignments.active())


@pytest.mark.parametrize("loss", ["flushed, with the clock behind", "another process"])
def test_reports_of_a_redis_that_lost_its_data_are_read_whatever_their_ids(
    harness: TermHarness, loss: str
) -> None:
    session = started(harness)
    run_id = str(harness.redis.info("server")["run_id"])
    harness.redis.delete(keys.REPORTS)
    with transaction():
        read = "9999999999999-0" if loss.startswith("flushed") else "1-0"
        cluster.set_reports_read(run_id if loss.startswith("flushed") else "other", read)
    harness.report_failure(session)
    harness.change_leader()
    harness.until(lambda: not assignments.active())


def test_a_position_is_used_only_in_the_stream_that_it_is_of(harness: TermHarness) -> None:
    session = started(harness)
    [position] = harness.redis.xrevrange(keys.REPORTS, count=1)
    run_id = str(harness.redis.info("server")["run_id"])
    assert cluster.reports_read(run_id) == position[0]
    assert report_stream.position(harness.redis, position[0]) == position[0]
    assert report_stream.position(harness.redis, "9999999999999-0") == "0"
    harness.redis.delete(keys.REPORTS)
    assert report_stream.position(harness.redis, position[0]) == "0"
    assert running() == {session}


def witnessed(harness: TermHarness, **changes: str) -> reports.Died:
    died = {"node": "w1", "incarnation": "w1-1", "witness": "w2", "witness_incarnation": "w2-1"}
    report = reports.Died(**{**died, **changes})
    report_stream.publish(harness.redis, [report])
    return report


def state_of(harness: TermHarness, name: str) -> str:
    return {it.name: it.state for it in harness.registry.all()}[name]


def test_a_death_that_a_node_of_the_same_machine_saw_is_believed_at_once(
    harness: TermHarness,
) -> None:
    for name in ("w1", "w2"):
        harness.add_node(name, boot_id="a boot", pid_namespace="pids")
    harness.tick()
    witnessed(harness)
    harness.tick()
    assert state_of(harness, "w1") == "fenced"
    assert not quarantine.refused_count(harness.redis)


@pytest.mark.parametrize(
    "forged",
    [
        {"witness_incarnation": "w2-0"},
        {"witness": "w1", "witness_incarnation": "w1-1"},
        {"witness": "w3", "witness_incarnation": "w3-1"},
        {"witness": "w4", "witness_incarnation": "w4-1"},
        {"witness": "w5", "witness_incarnation": "w5-1"},
        {"witness": "w3"},
    ],
    ids=str,
)
def test_a_death_that_the_witness_cannot_have_seen_is_quarantined_and_fences_no_node(
    harness: TermHarness, forged: dict[str, str]
) -> None:
    """It is another incarnation, the node itself, elsewhere, or not registered."""
    harness.add_node("w1", boot_id="a boot", pid_namespace="pids")
    harness.add_node("w2", boot_id="a boot", pid_namespace="pids")
    harness.add_node("w3", boot_id="another boot", pid_namespace="pids")
    harness.add_node("w4", boot_id="a boot", pid_namespace="other pids")
    harness.tick()
    witnessed(harness, **forged)
    harness.until(lambda: quarantine.refused_count(harness.redis) == 1)
    harness.tick()
    assert state_of(harness, "w1") == "ready"


def test_what_is_wrong_with_a_rule_is_stored_until_it_works_again(harness: TermHarness) -> None:
    harness.add_node("w1")
    session, another = add("alice", 2)
    [rule], [other] = rules.for_sessions([session, another]).values()
    harness.until(lambda: running() == {session, another})
    [active] = [it for it in assignments.active() if it.session == session]
    about = {
        "node": active.worker,
        "incarnation": active.incarnation,
        "session_id": session,
        "epoch": active.epoch,
    }
    reason = TroubleReason.SOURCE_UNREADABLE
    stopped = [
        reports.RuleStopped(**about, rule_id=it, reason=reason, text="1: CHANNEL_PRIVATE")
        for it in (rule.id, other.id)
    ]

    def shown() -> list[str]:
        return [it["trouble"] for it in rules.listing().rows]

    report_stream.publish(harness.redis, stopped)
    wanted = "a source chat cannot be read by the account (1: CHANNEL_PRIVATE)"
    harness.until(lambda: shown() == [wanted, ""])
    _, found = events.watch(harness.redis, "0")
    assert [it for it in found if it["kind"] == "trouble" and it.get("rule") == rule.id]
    report_stream.publish(harness.redis, [reports.RuleResumed(**about, rule_id=rule.id)])
    harness.until(lambda: shown() == ["", ""])


def test_a_session_that_starts_says_anew_which_of_its_rules_do_not_work(
    harness: TermHarness,
) -> None:
    harness.add_node("w1")
    [session] = add("alice", 1)
    [rule] = rules.for_sessions([session])[session]
    with transaction():
        troubles.note_rules([(session, rule.id, "of an earlier run")])
    harness.until(lambda: running() == {session})
    assert [it["trouble"] for it in rules.listing().rows] == [""]


def test_a_session_that_falls_asleep_wakes_for_what_is_due(harness: TermHarness) -> None:
    session = started(harness)
    [before] = assignments.active()
    with transaction():
        hibernation.request(sessions.find(str(session)), utc_now() + timedelta(days=4))
    due = int((utc_now() + timedelta(hours=2)).timestamp())
    about = {"session_id": session, "epoch": before.epoch}
    by = {"node": before.worker, "incarnation": before.incarnation}
    stopped = reports.Stopped(**by, **about, reason=StopReason.REQUESTED, due=due)
    report_stream.publish(harness.redis, [stopped])
    harness.until(lambda: not assignments.active())
    row = sessions.describe(sessions.find(str(session)))
    assert int(row["wakes_at"].timestamp()) == due - 10


def test_a_report_about_another_nodes_session_changes_nothing(harness: TermHarness) -> None:
    session = started(harness)
    [before] = assignments.active()
    about = {"session_id": session, "epoch": before.epoch}
    for node, incarnation in (("w2", before.incarnation), (before.worker, "w2-1")):
        by = {"node": node, "incarnation": incarnation}
        reason = TroubleReason.CONNECTION_LOST
        report_stream.publish(
            harness.redis,
            [
                Active(**by, session_ids=(session,)),
                reports.Trouble(**by, **about, reason=reason, text="forged"),
                reports.Stopped(**by, **about, reason=StopReason.REQUESTED),
            ],
        )
    for _ in range(3):
        harness.tick()
    assert assignments.active() == [before]
    assert not placing.traits([session])[session].active
    _, found = events.watch(harness.redis, "0")
    assert not [it for it in found if it["kind"] == "trouble"]


def test_dead_letters_are_stored_whatever_the_epoch_under_which_they_were_reported(
    harness: TermHarness,
) -> None:
    session = started(harness)
    rule = rules.create(sessions.find(str(session)), ["-1001"], ["-1002"]).id
    origin = {"node": "w1", "incarnation": "w1-0", "session_id": session, "epoch": 1}
    route = {"rule_id": rule, "source": -1001, "destination": -1002}
    gone = DeadReason.MESSAGE_GONE
    dead = DeadLettered(**origin, **route, message_ids=(1, 2, 3), reason=gone)
    report_stream.publish(harness.redis, [dead])
    report_stream.publish(harness.redis, [DeadRevived(**origin, **route, message_ids=(2,)), dead])
    revived = DeadRevived(**origin, **route, message_ids=(1,))
    report_stream.publish(harness.redis, [revived])
    harness.until(lambda: dead_letters.count(rule) == 2)
    assert [it["messages"] for it in dead_letters.listing().rows] == ["2-3"]


def test_dead_letters_that_are_too_old_are_deleted_and_that_is_told(harness: TermHarness) -> None:
    session = started(harness)
    rule = rules.create(sessions.find(str(session)), ["@a_source"], ["@the_copies"])
    with transaction():
        dead_letters.note([Undelivered(session, rule.id, -5, -6, (1, 2), "message_gone")])
        dead_letters.note([Undelivered(session, rule.id, -5, -6, (300,), "message_gone")])
        execute(
            "UPDATE dead_letters SET last_at = ? WHERE count = 2",
            micros(utc_now() - timedelta(days=91)),
        )
    harness.change_leader()
    harness.until(lambda: dead_letters.count(rule.id) == 1)
    [entry] = audit.listing(action=ACTION).rows
    path = f"{rule.session.name}/{rule.name}"
    assert entry["details"] == {"messages": 2, "rules": [{"rule": path, "messages": 2}]}
    told = [it for it in events.recent(harness.redis, 50) if it["kind"] == "dead_letters_expired"]
    assert [it["messages"] for it in told] == [2]


@pytest.mark.parametrize(
    "wrong", [{"source": -(2**60)}, {"message_ids": [2**31]}, {"reason": "x"}, {"error": "x" * 101}]
)
def test_a_malformed_report_of_dead_letters_is_quarantined(
    harness: TermHarness, wrong: dict[str, object]
) -> None:
    session = started(harness)
    row = {
        "kind": "dead_lettered",
        "node": "w1",
        "incarnation": "w1-0",
        "session_id": session,
        "epoch": 1,
        "rule_id": 1,
        "source": 1,
        "destination": 2,
        "message_ids": [1],
        "reason": "message_gone",
        "error": "",
        "attempts": 1,
        **wrong,
    }
    harness.redis.xadd(keys.REPORTS, {"reports": json.dumps([row])})
    harness.until(lambda: quarantine.refused_count(harness.redis) == 1)
    assert not dead_letters.listing().rows


def test_a_report_that_sql_cannot_take_costs_only_itself(
    harness: TermHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = started(harness)
    [active] = assignments.active()
    monkeypatch.setattr(troubles, "note_rules", refusing_for(troubles.note_rules, rule=7))
    common = {"node": active.worker, "incarnation": active.incarnation, "session_id": session}
    stopped = [
        RuleStopped(
            **common,  # type: ignore[arg-type]
            epoch=active.epoch,
            rule_id=rule,
            reason=TroubleReason.DESTINATION_CLOSED,
        )
        for rule in (7, 8)
    ]
    report_stream.publish(harness.redis, stopped)
    before = quarantine.refused_count(harness.redis)
    harness.report_failure(session)
    harness.until(lambda: trouble(session) == "Telegram refused a request")
    assert quarantine.refused_count(harness.redis) == before + 1


def refusing_for(inner: Any, *, rule: int) -> Any:
    """Return a function that refuses the rows of one rule as a database does."""

    def note_rules(rows: Any) -> None:
        if any(it[1] == rule for it in rows):
            raise peewee.DataError("value too long")
        inner(rows)

    return note_rules


def test_counts_of_rules_are_added_to_their_hours_whoever_has_the_session_now(
    harness: TermHarness,
) -> None:
    session = started(harness)
    rule = rules.create(sessions.find(str(session)), ["@a_source"], ["@the_copies"]).id
    tallies = {rule: RuleTally(3, 2, 1, 500, {4: 3}), 999: RuleTally(1)}
    for _ in range(2):
        made = rule_counts.reports_of(tallies, node="w9", incarnation="gone")
        report_stream.publish(harness.redis, made)
    origin = {"node": "w1", "incarnation": "w1-0", "session_id": session, "epoch": 1}
    route = {"rule_id": rule, "source": -5, "destination": -6}
    dead = DeadLettered(**origin, **route, message_ids=(1, 2), reason=DeadReason.MESSAGE_GONE)
    report_stream.publish(harness.redis, [dead])
    since = utc_now() - timedelta(hours=1)
    harness.until(lambda: getattr(rule_analytics.of_rules([rule], since).get(rule), "dead", 0) == 2)
    [count] = rule_analytics.of_rules([rule], since).values()
    assert (count.forwarded, count.skipped, count.waits, count.waited_ms) == (6, 4, 2, 1000)
    assert count.latencies == {4: 6}
