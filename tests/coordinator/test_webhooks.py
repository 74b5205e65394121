"""What a leader tells webhooks, with real receivers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.receiver import Receiver, receiver, reply
from support.term_harness import VAULT, TermHarness, add, placed, running

from afx.cluster import report_stream
from afx.cluster.reports import AlertRaised, DeadLettered, RuleStopped
from afx.reasons import DeadReason, FailureReason, TroubleReason
from afx.security import webhook_signature
from models.base import utc_now
from models.storage import assignments, sessions, users, webhook_deliveries, webhooks
from models.storage.sessions import QUARANTINE_FAILURES
from models.storage.webhooks import NewWebhook
from models.tables import Rule, Session, User
from models.webhook_tables import EventKind, Webhook, WebhookDelivery

SECRET = "whsec_test"


@pytest.fixture
def target() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


@pytest.fixture
def harness(home: Path, redis_url: str, sql: None) -> Iterator[TermHarness]:
    harness = TermHarness(home, redis_url, webhook_networks="127.0.0.0/8")
    yield harness
    harness.close()


def subscribe(url: str, *kinds: EventKind, name: str = "all", owner: User | None = None) -> Webhook:
    sealed = VAULT.seal_webhook_secret(SECRET)
    # A harness has fewer nodes than a cluster should have, which is an event too.
    wanted = kinds or tuple(it for it in EventKind if it is not EventKind.SCALING)
    webhooks.add(NewWebhook(name, url, wanted, owner, sealed))
    return webhooks.find(name)


def rows(hook: Webhook) -> list[dict[str, Any]]:
    return webhook_deliveries.listing(hook).rows


def settle(harness: TermHarness, hook: Webhook) -> dict[str, Any]:
    """Run rounds until the newest delivery is delivered; the threads take real time."""
    return run_until(harness, hook, lambda it: it["state"] == "delivered")


def fail(harness: TermHarness, hook: Webhook) -> dict[str, Any]:
    """Run rounds until an attempt has failed."""
    return run_until(harness, hook, lambda it: it["error"] != "")


def run_until(
    harness: TermHarness, hook: Webhook, done: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    until = time.monotonic() + 60
    while not (found := rows(hook)) or not done(found[0]):
        assert time.monotonic() < until, found
        harness.tick(1.1)
        time.sleep(0.002)
    return found[0]


def due_now() -> None:
    WebhookDelivery.update(next_at=utc_now()).execute()


def test_a_lost_login_is_told_signed_and_once(harness: TermHarness, target: Receiver) -> None:
    [session] = add("alice", 1)
    harness.add_node("w1")
    harness.until(lambda: session in running())
    hook = subscribe(target.url)
    harness.report_failure(session, FailureReason.LOGIN_LOST)
    harness.until(lambda: sessions.find("alice0").desired_state == "paused")
    settle(harness, hook)
    [got] = target.requests
    body = json.loads(got.body)
    assert (body["kind"], body["subject"], body["owner"]) == (
        "session.login_needed",
        "session/alice0",
        "alice",
    )
    assert body["details"]["worker"] == "w1" and got.headers["afx-event"] == body["kind"]
    assert got.headers["afx-delivery"] == f"{body['id']}-{hook.id}"
    signed = got.headers["afx-signature"], got.headers["afx-timestamp"]
    assert webhook_signature.verify(SECRET, *signed, got.body, time.time())


def test_a_session_that_fails_again_and_again_is_told_once(
    harness: TermHarness, target: Receiver
) -> None:
    [session] = add("alice", 1)
    harness.add_node("w1")
    harness.until(lambda: session in running())
    hook = subscribe(target.url)
    for times in range(1, QUARANTINE_FAILURES + 2):
        Session.update(retry_at=None).execute()
        harness.until(lambda: session in placed())
        harness.report_failure(session)
        harness.until(lambda: Session.get().failures == times)  # noqa: B023
        # It runs in between, which would clear its failures.
        harness.obeying = False
    settle(harness, hook)
    assert [it["kind"] for it in rows(hook)] == ["session.troubled"]


def test_a_rule_that_stops_is_told_until_it_works_again(
    harness: TermHarness, target: Receiver
) -> None:
    [session] = add("alice", 1)
    harness.add_node("w1")
    harness.until(lambda: session in running())
    hook = subscribe(target.url)
    [active] = assignments.active()
    stopped = RuleStopped(
        node="w1",
        incarnation=active.incarnation,
        session_id=session,
        epoch=active.epoch,
        rule_id=Rule.get().id,
        reason=TroubleReason.DESTINATION_CLOSED,
    )
    for _ in range(2):
        report_stream.publish(harness.redis, [stopped])
        harness.until(lambda: Rule.get().trouble != "")
        harness.tick()
    settle(harness, hook)
    [got] = target.requests
    assert json.loads(got.body)["details"]["rule"] == Rule.get().id


def test_dead_letters_are_told_with_their_count(harness: TermHarness, target: Receiver) -> None:
    [session, other] = add("alice", 2)
    hook = subscribe(target.url)
    rule = Rule.get(Rule.session == session).id
    route = {"rule_id": rule, "source": -1, "destination": -2}
    for of, ids in ((session, (1, 2)), (session, (3,)), (other, (4,))):
        dead = DeadLettered(
            node="w1",
            incarnation="w1-1",
            session_id=of,
            epoch=1,
            **route,
            message_ids=ids,
            reason=next(iter(DeadReason)),
        )
        report_stream.publish(harness.redis, [dead])

    def told() -> list[dict[str, Any]]:
        return [json.loads(it.body) for it in target.requests]

    run_until(harness, hook, lambda _: sum(it["details"]["count"] for it in told()) >= 3)
    assert {it["kind"] for it in told()} == {"message.dead_letter"}
    assert sum(it["details"]["count"] for it in told()) == 3


def test_an_alert_is_told_once_for_each_message_and_only_of_the_sessions_own_rule(
    harness: TermHarness, target: Receiver
) -> None:
    [session, other] = add("alice", 2)
    hook = subscribe(target.url)
    rule = Rule.get(Rule.session == session).id
    for of, message in ((session, 1), (session, 1), (other, 2), (session, 3)):
        alert = AlertRaised(
            node="w1",
            incarnation="w1-1",
            session_id=of,
            epoch=1,
            rule_id=rule,
            source=-1001,
            message_id=message,
            link="https://t.me/c/1/1",
            left_out=0,
        )
        report_stream.publish(harness.redis, [alert])
    run_until(harness, hook, lambda _: len(target.requests) >= 2)
    settle(harness, hook)
    told = [json.loads(it.body) for it in target.requests]
    assert {it["kind"] for it in told} == {"rule.alert"}
    assert sorted(it["details"]["message"] for it in told) == [1, 3]


def test_a_lost_node_is_told_once_also_by_two_leaders(
    harness: TermHarness, target: Receiver
) -> None:
    add("alice", 1)
    harness.add_node("w1")
    harness.add_node("w2")
    harness.until(lambda: len(running()) == 1)
    hook = subscribe(target.url, EventKind.WORKER_LOST)
    harness.kill_node("w1")
    settle(harness, hook)
    harness.change_leader()
    for _ in range(20):
        harness.tick()
    assert [it["subject"] for it in rows(hook)] == ["worker/w1"]


def test_a_node_that_leaves_is_not_lost(harness: TermHarness, target: Receiver) -> None:
    identity = harness.add_node("w1")
    harness.tick()
    hook = subscribe(target.url)
    harness.kill_node("w1")
    harness.registry.leave(identity.name, identity.incarnation)
    for _ in range(100):
        harness.tick()
    assert EventKind.WORKER_LOST not in {it["kind"] for it in rows(hook)}


def test_a_held_brake_is_told(harness: TermHarness, target: Receiver) -> None:
    for number in range(6):
        harness.add_node(f"w{number}")
    for _ in range(5):
        harness.tick()
    hook = subscribe(target.url, EventKind.BRAKE_HELD)
    for number in range(5):
        harness.kill_node(f"w{number}")
    settle(harness, hook)
    assert json.loads(target.requests[0].body)["details"]["lost"] >= 2


def test_a_receiver_that_fails_gets_the_same_delivery_again(
    harness: TermHarness, target: Receiver
) -> None:
    hook = subscribe(target.url)
    webhook_deliveries.test(hook)
    target.answer = lambda it: reply(it, 500)
    fail(harness, hook)
    assert (rows(hook)[0]["state"], rows(hook)[0]["status"]) == ("waiting", 500)
    assert rows(hook)[0]["next_at"] > utc_now() + timedelta(seconds=5)
    target.answer = lambda it: reply(it, 200)
    due_now()
    assert settle(harness, hook)["attempts"] == 2
    first, second = target.requests
    assert first.body == second.body
    assert first.headers["afx-delivery"] == second.headers["afx-delivery"]


def test_a_receiver_that_hangs_holds_up_neither_the_leader_nor_others(
    harness: TermHarness, target: Receiver
) -> None:
    slow = subscribe(target.url, name="slow")
    target.answer = lambda it: target.released.wait(60) and None
    for _ in range(4):
        webhook_deliveries.test(slow)
    with receiver() as other:
        quick = subscribe(other.url, name="quick")
        webhook_deliveries.test(quick)
        settle(harness, quick)
        assert len(other.requests) == 1
    assert len(target.requests) <= 2
    target.released.set()


def test_the_slow_webhooks_of_one_user_hold_up_nobody_else(
    harness: TermHarness, target: Receiver
) -> None:
    alice, bob = (users.create(it) for it in ("alice", "bob"))
    target.answer = lambda it: target.released.wait(60) and None
    for number in range(6):
        slow = subscribe(target.url, name=f"slow-{number}", owner=alice)
        for _ in range(4):
            webhook_deliveries.test(slow)
    with receiver() as other:
        quick = [
            subscribe(other.url, name=name, owner=it)
            for name, it in (("operator", None), ("bob", bob))
        ]
        for hook in quick:
            webhook_deliveries.test(hook)
        for hook in quick:
            settle(harness, hook)
    # It counts as a slow one, and has fewer requests from then on; the operator is none.
    for _ in range(3):
        harness.tick(1.1)
    assert set(harness.term._webhooks._slow) == {"alice"}
    target.released.set()


def test_a_new_leader_does_not_repeat_what_is_just_being_sent(
    harness: TermHarness, target: Receiver
) -> None:
    hook = subscribe(target.url)
    target.answer = lambda it: target.released.wait(60) and None
    webhook_deliveries.test(hook)
    harness.until(lambda: rows(hook)[0]["attempts"] == 1)
    target.wait_for(1)
    harness.change_leader()
    for _ in range(20):
        harness.tick(1.1)
    assert len(target.requests) == 1
    target.released.set()
    # The first leader is gone before the answer: then it is repeated, with the same id.
    target.answer = lambda it: reply(it, 200)
    due_now()
    settle(harness, hook)
    assert len({it.headers["afx-delivery"] for it in target.requests}) == 1


def test_a_leader_that_stops_notes_what_was_delivered(
    harness: TermHarness, target: Receiver
) -> None:
    hook = subscribe(target.url)
    webhook_deliveries.test(hook)
    harness.until(lambda: rows(hook)[0]["attempts"] == 1)
    harness.change_leader()
    assert rows(hook)[0]["state"] == "delivered" and len(target.requests) == 1


def test_a_private_address_gets_nothing_by_default(
    home: Path, redis_url: str, sql: None, target: Receiver
) -> None:
    harness = TermHarness(home, redis_url)
    try:
        hook = subscribe(target.url)
        webhook_deliveries.test(hook)
        fail(harness, hook)
        assert "not public" in rows(hook)[0]["error"] and not target.requests
    finally:
        harness.close()


def test_a_secret_of_another_key_is_an_error_of_its_webhook(
    harness: TermHarness, target: Receiver
) -> None:
    hook = subscribe(target.url)
    Webhook.update(secret="1.AAAA").execute()
    webhook_deliveries.test(hook)
    fail(harness, hook)
    assert "afx webhook rotate" in rows(hook)[0]["error"] and not target.requests
