"""The health of accounts: what reports show, what an operator and webhooks are told."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from support.term_harness import TermHarness, add, running
from telethon import errors

from afx.cluster import report_stream
from afx.cluster.reports import Active, Trouble
from afx.coordinator.decisions.account_health import (
    ADVICE,
    SETTLING_SECONDS,
    Health,
    Sign,
    Standing,
    after,
)
from afx.reasons import FailureReason, TroubleReason
from afx.telegram.sender import Outcome, failed
from models.base import utc_now
from models.states import ACCOUNT_HEALTH
from models.storage import assignments, sessions, webhooks
from models.storage.webhooks import NewWebhook
from models.tables import Session
from models.webhook_tables import EventKind, WebhookEvent

HEALTHY = Standing()


def seen(health: Health, at: float = 100.0) -> Standing:
    return Standing(health, at, at, "ERROR")


@pytest.mark.parametrize(
    ("sign", "health"),
    [
        (Sign.LIMITED, Health.LIMITED),
        (Sign.FROZEN, Health.FROZEN),
        (Sign.LOGIN_LOST, Health.NEEDS_LOGIN),
        (Sign.BANNED, Health.BANNED),
    ],
)
def test_a_sign_is_noted_with_its_evidence(sign: Sign, health: Health) -> None:
    assert after(HEALTHY, sign, "NAME", 50.0) == Standing(health, 50.0, 50.0, "NAME")


def test_a_sign_that_comes_again_keeps_since_when() -> None:
    again = after(seen(Health.LIMITED), Sign.LIMITED, "PEER_FLOOD", 400.0)
    assert again == Standing(Health.LIMITED, 100.0, 400.0, "PEER_FLOOD")


@pytest.mark.parametrize("sign", list(Sign))
@pytest.mark.parametrize("health", list(Health))
def test_a_lighter_sign_changes_nothing_and_each_state_has_advice(
    health: Health, sign: Sign
) -> None:
    order = list(Health)
    made = after(seen(health), sign, "NAME", 101.0)
    if made.health is not Health.HEALTHY:
        assert order.index(made.health) >= order.index(health)
    assert bool(ADVICE[made.health]) == (made.health is not Health.HEALTHY)


def test_a_send_that_passes_ends_a_limit_but_not_one_that_was_sent_before_it() -> None:
    for health in (Health.LIMITED, Health.FROZEN):
        limited = seen(health)
        assert after(limited, Sign.WORKS, "", 100 + SETTLING_SECONDS - 1) is limited
        made = after(limited, Sign.WORKS, "", 100 + SETTLING_SECONDS)
        assert made.health is Health.HEALTHY
        assert after(limited, Sign.STARTED, "", 1_000.0) is limited


def test_a_limited_account_that_may_post_somewhere_is_not_healthy_and_limited_by_turns() -> None:
    standing = after(HEALTHY, Sign.LIMITED, "PEER_FLOOD", 0.0)
    refused = Outcome("wait", seconds=0.0)
    for number in range(1, 5):
        refused = failed(errors.PeerFloodError(None), 1)
        tried = number * refused.seconds
        for late in (1.0, 20.0):
            assert after(standing, Sign.WORKS, "", tried + late) is standing
        standing = after(standing, Sign.LIMITED, "PEER_FLOOD", tried + 21.0)
    assert standing.since == 0.0 and refused.seconds


def test_a_start_ends_what_a_new_login_ends() -> None:
    for health in (Health.NEEDS_LOGIN, Health.BANNED):
        lost = seen(health)
        assert after(lost, Sign.STARTED, "", 200.0).health is Health.HEALTHY
        assert after(lost, Sign.WORKS, "", 1_000.0) is lost
    assert after(HEALTHY, Sign.STARTED, "", 1.0) is HEALTHY


def test_the_states_of_the_decision_are_those_of_the_table() -> None:
    assert tuple(Health) == ACCOUNT_HEALTH


# --- with a leader -------------------------------------------------------------------------


def started(harness: TermHarness) -> int:
    harness.add_node("w1")
    [session] = add("alice", 1)
    harness.until(lambda: running() == {session})
    return session


def row(session: int) -> dict[str, Any]:
    return sessions.describe(sessions.find(str(session)))


def report_limit(harness: TermHarness, session: int) -> None:
    [active] = assignments.active()
    report = Trouble(
        node="w1",
        incarnation=active.incarnation,
        session_id=session,
        epoch=active.epoch,
        reason=TroubleReason.ACCOUNT_LIMITED,
        text="PEER_FLOOD",
    )
    report_stream.publish(harness.redis, [report])


def told() -> list[tuple[str, str]]:
    rows = WebhookEvent.select().where(WebhookEvent.kind == EventKind.HEALTH)
    return [(it.details["before"], it.details["health"]) for it in rows.order_by(WebhookEvent.id)]


def test_a_limited_account_is_shown_and_told_once_until_it_sends_again(
    harness: TermHarness,
) -> None:
    session = started(harness)
    webhooks.add(NewWebhook("pager", "https://example.org/", (EventKind.HEALTH,), None, "sealed"))
    report_limit(harness, session)
    harness.until(lambda: row(session)["health"] == "limited")
    since = row(session)["health_since"]
    assert row(session)["health_error"] == "PEER_FLOOD"
    report_limit(harness, session)
    harness.tick()
    # A new leader knows what the last one knew.
    Session.update(health_seen=utc_now() - timedelta(seconds=SETTLING_SECONDS + 60)).execute()
    harness.change_leader()
    assert row(session)["health_since"] == since
    active = Active(node="w1", incarnation="w1-1", session_ids=(session,))
    report_stream.publish(harness.redis, [active])
    harness.until(lambda: row(session)["health"] == "healthy")
    assert told() == [("healthy", "limited"), ("limited", "healthy")]


def test_a_banned_account_is_paused_and_a_start_makes_it_healthy(harness: TermHarness) -> None:
    session = started(harness)
    harness.report_failure(session, FailureReason.ACCOUNT_BANNED)
    harness.until(lambda: row(session)["health"] == "banned")
    assert row(session)["desired_state"] == "paused"
    assert "banned" in row(session)["trouble"]
    sessions.set_desired_state(sessions.find(str(session)), "running")
    harness.until(lambda: row(session)["health"] == "healthy")
