"""What nodes report of held messages is stored, and what waits for too long is rejected."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from support.term_harness import TermHarness, add, running

from afx.cluster import events, report_stream
from afx.cluster.reports import HeldEnded, MessageHeld, decode
from afx.coordinator.review_expiry import ACTION
from afx.reasons import HeldEnd, HeldEvent
from models.base import execute, micros, utc_now
from models.storage import audit, held_messages, rules, sessions

ROUTE = {"source": -1001, "destination": -1002}


@pytest.fixture
def rule(harness: TermHarness) -> Any:
    harness.add_node("w1")
    [session] = add("alice", 1)
    harness.until(lambda: running() == {session})
    return rules.create(sessions.find(str(session)), ["-1001"], ["-1002"])


def held(rule: Any, number: int, **fields: Any) -> MessageHeld:
    values: dict[str, Any] = {
        "event": HeldEvent.HELD,
        "album": 0,
        "version": 2**47,
        "content": "sealed",
        "expires_at": int(utc_now().timestamp()) + 600,
    }
    return MessageHeld(**_origin(rule), message_id=number, **{**values, **fields})


def _origin(rule: Any) -> dict[str, Any]:
    origin = {"node": "w1", "incarnation": "w1-0", "session_id": rule.session_id, "epoch": 1}
    return {**origin, **ROUTE, "rule_id": rule.id}


def states() -> dict[int, str]:
    return {it["message"]: it["state"] for it in held_messages.listing().rows}


def test_reports_are_stored_in_their_order_whatever_their_epoch(
    harness: TermHarness, rule: Any
) -> None:
    gone = HeldEnded(**_origin(rule), end=HeldEnd.DELETED, message_ids=(1,))
    edited = held(rule, 2, event=HeldEvent.EDITED, version=5)
    report_stream.publish(harness.redis, [held(rule, 1), held(rule, 2)])
    report_stream.publish(harness.redis, [gone, held(rule, 1), edited])
    harness.until(lambda: states() == {1: "deleted", 2: "held"})
    harness.until(lambda: held_messages.listing().rows[1]["version"] == 5)


def test_what_waits_for_too_long_is_rejected_and_that_is_told(
    harness: TermHarness, rule: Any
) -> None:
    report_stream.publish(harness.redis, [held(rule, 1), held(rule, 2)])
    harness.until(lambda: len(states()) == 2)
    past = micros(utc_now() - timedelta(seconds=1))
    execute("UPDATE held_messages SET expires_at = ? WHERE message = 1", past)
    harness.change_leader()
    harness.until(lambda: states() == {1: "expired", 2: "held"})
    [entry] = audit.listing(action=ACTION).rows
    path = f"{rule.session.name}/{rule.name}"
    assert entry["details"] == {"messages": 1, "rules": [{"rule": path, "messages": 1}]}
    told = [it for it in events.recent(harness.redis, 50) if it["kind"] == "reviews_expired"]
    assert [it["messages"] for it in told] == [1]


@pytest.mark.parametrize(
    "wrong",
    [
        {"source": -(2**60)},
        {"message_id": 2**31},
        {"event": "x"},
        {"content": "x" * 32_001},
        {"version": -1},
        {"expires_at": 2**40},
    ],
)
def test_a_malformed_report_is_refused(wrong: dict[str, Any]) -> None:
    row = {
        "kind": "message_held",
        "node": "w1",
        "incarnation": "i",
        "session_id": 1,
        "epoch": 1,
        "rule_id": 1,
        **ROUTE,
        "message_id": 1,
        "event": "held",
        "album": 0,
        "version": 1,
        "content": "",
        "expires_at": 1,
    }
    assert decode("1-0", {"reports": json.dumps([row])})[0]
    found, refused = decode("1-0", {"reports": json.dumps([{**row, **wrong}])})
    assert not found and len(refused) == 1
