"""Webhooks in SQL: who is told of what, and how deliveries end."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from afx.errors import ConflictError, NotFoundError, QuotaError
from models import base
from models.base import transaction, utc_now
from models.storage import rules, scaling, sessions, troubles, users, webhook_deliveries, webhooks
from models.storage.rules import NewRule
from models.storage.webhook_deliveries import Attempted, Due
from models.storage.webhooks import NewWebhook, record_event
from models.webhook_tables import EventKind, Webhook, WebhookDelivery, WebhookEvent

DAY = timedelta(days=1)


def add(name: str, *kinds: str, owner: Any = None) -> Webhook:
    webhooks.add(NewWebhook(name, "https://example.org/", kinds, owner, "sealed"))
    return webhooks.find(name)


def due(*, besides: list[int] | None = None, in_seconds: float = 0) -> list[Due]:
    """Return what has come to its time, two of each webhook at most."""
    now = utc_now() + timedelta(seconds=in_seconds)
    found = webhook_deliveries.waiting(now, most=2, besides=besides or [])
    return webhook_deliveries.load([it for ids in found.values() for it in ids], now)


def failed(it: Due, *, retry: float | None = None) -> Attempted:
    return Attempted(due=it, status=500, error="the answer was 500", retry_seconds=retry)


def test_an_event_that_no_webhook_wants_is_not_written(database: Any) -> None:
    add("nodes", EventKind.WORKER_LOST)
    assert record_event(EventKind.SCALING, "cluster") == 0
    assert WebhookEvent.select().count() == 0


def test_an_event_goes_to_the_webhooks_that_want_it(database: Any) -> None:
    add("all")
    add("nodes", EventKind.WORKER_LOST)
    add("scaling", EventKind.SCALING)
    assert record_event(EventKind.SCALING, "cluster", None, {"desired": 3}) == 2
    rows = due()
    assert {it.webhook for it in rows} == {"all", "scaling"}
    assert {(it.kind, it.subject, it.owner) for it in rows} == {
        ("cluster.scaling", "cluster", None)
    }
    assert rows[0].key == rows[1].key and rows[0].details == {"desired": 3}


def test_a_users_webhook_is_told_of_the_users_sessions_only(database: Any, ids: list[int]) -> None:
    bob = users.create("bob")
    [other] = sessions.create_many(bob, [sessions.NewSession("b-1", "sealed")])
    add("alice", owner=users.find("alice"))
    rows = webhooks.session_events(EventKind.LOGIN_NEEDED, [(ids[0], {}), (other, {}), (99, {})])
    assert webhooks.record_events(rows) == 1
    assert record_event(EventKind.BRAKE_HELD, "cluster") == 0
    [found] = due()
    assert (found.subject, found.owner, found.details) == (
        "session/s0",
        "alice",
        {"session": "s0"},
    )


def test_an_event_that_happens_once_is_recorded_once(database: Any) -> None:
    add("all")
    for _ in range(2):
        record_event(EventKind.WORKER_LOST, "worker/w1", unique_key="w1-1")
    twice = [webhooks.Event(EventKind.WORKER_LOST, "worker/w2", unique_key="w2-1")] * 2
    assert webhooks.record_events(twice) == 1
    assert WebhookDelivery.select().count() == 2


def test_an_event_is_in_sql_if_what_it_tells_of_is(database: Any, ids: list[int]) -> None:
    add("all")
    with transaction(keep=False):
        troubles.note_lost_logins([(ids[0], 9, "lost")])
        webhooks.record_events(webhooks.session_events(EventKind.LOGIN_NEEDED, [(ids[0], {})]))
    assert not due() and sessions.find("s0").desired_state == "running"


def test_a_changed_recommendation_is_an_event(database: Any) -> None:
    add("all")
    for _ in range(2):
        scaling.record("out", current=1, desired=2, reason="full", figures={})
    [found] = due()
    assert found.details["desired"] == 2


def test_an_event_with_odd_names_is_recorded(database: Any) -> None:
    add("all")
    details = {"worker": "a\0b"}
    for _ in range(2):
        record_event(EventKind.WORKER_LOST, "worker/a\0b", None, details, unique_key="k\0" * 500)
    [found] = due()
    assert (found.subject, found.details) == ("worker/ab", details)


def test_large_details_are_left_out(database: Any) -> None:
    add("all")
    record_event(EventKind.SCALING, "x" * 300, None, {"text": "x" * 20_000})
    [found] = due()
    assert found.details == {"left_out_bytes": 20_012} and len(found.subject) == 255


def test_what_waits_for_a_webhook_is_bounded(
    database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "_MOST_WAITING", 2)
    add("all")
    assert [record_event(EventKind.SCALING, "cluster") for _ in range(4)] == [1, 1, 0, 0]
    assert webhooks.listing().rows[0]["left_out"] == 2


def test_what_waits_is_known_by_webhook_and_owner(database: Any, ids: list[int]) -> None:
    a = add("a")
    for _ in range(10):
        record_event(EventKind.SCALING, "cluster")
    b = add("b", owner=users.find("alice"))
    add("c", EventKind.WORKER_LOST)
    webhook_deliveries.test(b)
    found = webhook_deliveries.waiting(utc_now(), most=2)
    assert {it: len(rows) for it, rows in found.items()} == {(a.id, None): 2, (b.id, "alice"): 1}
    first, second, third = [it.id for it in due()]
    assert first < second < third
    # What is under way takes no place of the others.
    assert [it.webhook for it in due(besides=[first, third])] == ["a", "a"]
    assert webhook_deliveries.load([], utc_now()) == []


def test_a_claimed_delivery_is_left_alone_until_its_time(database: Any) -> None:
    add("all")
    record_event(EventKind.SCALING, "cluster")
    rows = due()
    webhook_deliveries.claim(rows, utc_now() + timedelta(seconds=30))
    assert not due()
    later = due(in_seconds=31)
    assert [(it.id, it.attempts, it.key) for it in later] == [(rows[0].id, 1, rows[0].key)]


def test_a_delivery_ends_delivered_or_failed_or_waits_again(database: Any) -> None:
    hook = add("all")
    for _ in range(2):
        record_event(EventKind.SCALING, "cluster")
    first, second = due()
    delivered = Attempted(due=first, status=204, error="")
    webhook_deliveries.note_attempts([delivered, failed(second, retry=60)], DAY)
    rows = webhook_deliveries.listing(hook).rows
    assert [(it["state"], it["status"]) for it in rows] == [("waiting", 500), ("delivered", 204)]
    assert webhooks.describe(hook)["error"] == "the answer was 500"
    assert not due()
    webhook_deliveries.note_attempts([failed(second)], DAY)
    assert webhook_deliveries.find(second.id)["state"] == "failed"
    # What has ended stays so, whoever reports late.
    webhook_deliveries.note_attempts([Attempted(due=second, status=204, error="")], DAY)
    assert webhook_deliveries.find(second.id)["state"] == "failed"
    webhook_deliveries.redeliver(second.id)
    assert [(it.id, it.attempts) for it in due()] == [(second.id, 0)]


def test_a_webhook_that_fails_for_long_is_suspended_and_others_are_told(database: Any) -> None:
    hook = add("bad", EventKind.SCALING)
    add("good", EventKind.SUSPENDED)
    for _ in range(2):
        record_event(EventKind.SCALING, "cluster")
    first, second = due()
    assert webhook_deliveries.note_attempts([failed(first, retry=1)], DAY) == []
    Webhook.update(failing_since=utc_now() - 2 * DAY).execute()
    assert webhook_deliveries.note_attempts([failed(second, retry=1)], DAY) == ["bad"]
    states = {it["state"] for it in webhook_deliveries.listing(hook).rows}
    assert (states, webhooks.describe(hook)["state"]) == ({"failed"}, "suspended")
    [told] = due()
    assert (told.webhook, told.kind, told.subject) == ("good", "webhook.suspended", "webhook/bad")
    assert record_event(EventKind.SCALING, "cluster") == 0
    webhooks.resume(hook)
    assert record_event(EventKind.SCALING, "cluster") == 1


def test_a_success_ends_the_time_of_failing(database: Any) -> None:
    hook = add("all")
    for _ in range(2):
        record_event(EventKind.SCALING, "cluster")
    first, second = due()
    webhook_deliveries.note_attempts([failed(first, retry=1)], DAY)
    webhook_deliveries.note_attempts([Attempted(due=second, status=200, error="")], DAY)
    found = webhooks.describe(hook)
    assert (found["failing_since"], found["error"]) == (None, "")


def test_what_comes_of_a_removed_webhook_is_passed_over(database: Any) -> None:
    hook = add("all")
    record_event(EventKind.SCALING, "cluster")
    rows = due()
    webhooks.remove(hook)
    assert webhook_deliveries.note_attempts([failed(rows[0])], timedelta(0)) == []
    with pytest.raises(NotFoundError):
        webhook_deliveries.find(rows[0].id)


def test_what_comes_of_a_removed_webhook_is_not_noted_about_the_next_one(database: Any) -> None:
    old = add("old")
    record_event(EventKind.SCALING, "cluster")
    [under_way] = due()
    webhooks.remove(old)
    new = add("new")
    record_event(EventKind.SCALING, "cluster")
    [waits] = due()
    if not base.is_postgres():
        # SQLite gives the ids of removed rows to new ones.
        assert (new.id, waits.id) == (old.id, under_way.id)
    for late in (failed(under_way), Attempted(due=under_way, status=200, error="")):
        assert webhook_deliveries.note_attempts([late], timedelta(0)) == []
    assert [it.id for it in due()] == [waits.id]
    found = webhooks.describe(new)
    assert (found["state"], found["error"], found["failing_since"]) == ("active", "", None)


def test_a_replaced_secret_signs_for_a_day_beside_the_new_one(database: Any) -> None:
    hook = add("all")
    record_event(EventKind.SCALING, "cluster")
    webhooks.rotate(hook, "new")
    assert due()[0].secrets == ("new", "sealed")
    Webhook.update(rotated_at=utc_now() - 2 * DAY).execute()
    assert due()[0].secrets == ("new",)


def test_names_are_unique_and_webhooks_are_bounded(
    database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    add("a")
    with pytest.raises(ConflictError, match="another name"):
        add("a")
    monkeypatch.setattr(webhooks, "_MOST_OF_OWNER", 1)
    alice = users.create("alice")
    add("b", owner=alice)
    with pytest.raises(QuotaError, match="remove one"):
        add("c", owner=alice)
    with pytest.raises(NotFoundError):
        webhooks.find("a", owner="alice")
    assert [it["name"] for it in webhooks.listing(owner="alice").rows] == ["b"]


def test_old_deliveries_are_pruned_with_their_events(database: Any) -> None:
    add("all")
    for _ in range(3):
        record_event(EventKind.SCALING, "cluster")
    rows = due()
    webhook_deliveries.note_attempts([Attempted(due=it, status=200, error="") for it in rows], DAY)
    later = utc_now() + DAY
    assert webhook_deliveries.prune(utc_now() - DAY, 100) == 0
    assert webhook_deliveries.prune(later, 100) == 4
    assert (WebhookDelivery.select().count(), WebhookEvent.select().count()) == (1, 1)


def test_a_test_goes_to_one_webhook_whatever_it_wants(database: Any) -> None:
    hook = add("nodes", EventKind.WORKER_LOST)
    add("all")
    made = webhook_deliveries.test(hook)
    assert [(it.id, it.kind) for it in due()] == [(made, "webhook.test")]


def test_names_that_begin_with_a_text_are_those_of_the_owner(database: Any, ids: list[int]) -> None:
    add("nodes")
    add("news", owner=users.find("alice"))
    assert webhooks.names_beginning("n") == ["news", "nodes"]
    assert webhooks.names_beginning("n", owner="alice") == ["news"]


def test_an_event_with_too_many_details_says_how_many_bytes_were_left_out(database: Any) -> None:
    event = webhooks.Event(EventKind.SCALING, "cluster", None, {"text": "x" * 100_000})
    stored = WebhookEvent.get_by_id(webhooks.store_event(event, utc_now()))
    assert stored.details == {"left_out_bytes": 100_012}


def test_rules_without_trouble_are_the_working_ones(database: Any, ids: list[int]) -> None:
    rules.create_many([NewRule(ids[0], name, ["@source"], ["@copies"]) for name in ("good", "bad")])
    good, bad = (rules.find(f"s0/{name}").id for name in ("good", "bad"))
    troubles.note_rules([(ids[0], bad, "the chat is closed")])
    assert webhooks.working_rules([good, bad, 99]) == {good}
    assert webhooks.sessions_of_rules([good, bad, 99]) == {good: ids[0], bad: ids[0]}


def test_figures_tell_how_webhooks_fare(database: Any) -> None:
    long_ago = utc_now() - 2 * DAY
    found = webhook_deliveries.figures(long_ago)["operator"]
    assert (found.active, found.waiting, found.oldest_at, found.due_at) == (0, 0, None, None)
    failing, broken, _ = add("failing"), add("broken"), add("fine")
    record_event(EventKind.SCALING, "cluster")
    rows = due()
    webhook_deliveries.claim(rows, utc_now() + DAY)
    webhook_deliveries.note_attempts([failed(rows[0], retry=60), failed(rows[1])], DAY)
    Webhook.update(failing_since=long_ago).where(Webhook.id == failing.id).execute()
    Webhook.update(state="suspended", left_out=3).where(Webhook.id == broken.id).execute()
    found = webhook_deliveries.figures(utc_now() - DAY)["operator"]
    assert (found.active, found.failing, found.suspended) == (1, 1, 1)
    assert (found.waiting, found.failed, found.left_out) == (2, 1, 3)
    assert found.failing_since == long_ago and found.oldest_at and found.due_at
    assert found.oldest_at < utc_now() < found.due_at < utc_now() + timedelta(seconds=61)
    assert webhook_deliveries.figures(utc_now() + DAY)["operator"].failed == 0
    of_users = webhook_deliveries.figures(utc_now() - DAY)["users"]
    assert (of_users.active, of_users.waiting, of_users.failed, of_users.due_at) == (0, 0, 0, None)


def test_webhooks_in_trouble_are_those_that_are_suspended_or_fail_for_long(database: Any) -> None:
    for name in ("fine", "failing", "new", "suspended"):
        add(name)
    for name, since in (("failing", 2 * DAY), ("new", timedelta(0)), ("suspended", 3 * DAY)):
        Webhook.update(failing_since=utc_now() - since).where(Webhook.name == name).execute()
    Webhook.update(state="suspended").where(Webhook.name == "suspended").execute()
    found = webhooks.in_trouble(utc_now() - DAY)
    assert [it["name"] for it in found] == ["suspended", "failing"]
