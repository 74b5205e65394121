"""Reports over the stream: what parses is used, what does not is quarantined."""

from __future__ import annotations

import json

import pytest
import redis as redis_module
from hypothesis import given
from hypothesis import strategies as st

from afx.cluster import keys, quarantine, report_stream, reports
from afx.cluster.reports import (
    Active,
    Died,
    Failed,
    Inventory,
    Report,
    RuleResumed,
    RulesCounted,
    RuleStopped,
    Running,
    Stopped,
    TaskEnded,
    TaskLogged,
    TaskProgressed,
    TaskStarted,
    Trouble,
)
from afx.reasons import FailureReason, StopReason, TaskOutcome, TroubleReason

SESSION = {"node": "w1", "incarnation": "one", "session_id": 7, "epoch": 5}
TASK = {"node": "w1", "incarnation": "one", "task_id": 9, "publication": 2}
EACH: list[Report] = [
    Running(**SESSION),
    Stopped(**SESSION, reason=StopReason.REQUESTED, due=1_800_000_000),
    Failed(**SESSION, reason=FailureReason.LOGIN_LOST, text="AuthKeyDuplicated"),
    Trouble(**SESSION, reason=TroubleReason.CONNECTION_LOST, text="reset"),
    Active(node="w1", incarnation="one", session_ids=(1, 2)),
    RulesCounted(
        node="w1",
        incarnation="one",
        rule_ids=(3, 4),
        forwarded=(1, 0),
        skipped=(0, 2),
        waits=(0, 0),
        waited_ms=(0, 0),
        latencies=(0, 5, 1),
    ),
    Inventory(node="w1", incarnation="one", term=3, session_ids=(7,), epochs=(5,), remaining=0),
    Died(node="w2", incarnation="two", witness="w1", witness_incarnation="one"),
    RuleStopped(**SESSION, rule_id=3, reason=TroubleReason.MESSAGE_REFUSED, text="no"),
    RuleResumed(**SESSION, rule_id=3),
    TaskStarted(**TASK, started_at=1),
    TaskProgressed(**TASK, thousandths=1000, cursor="{}"),
    TaskLogged(**TASK, logged_at=1, text="said"),
    TaskEnded(**TASK, outcome=TaskOutcome.SNOOZED, started_at=1, ended_at=2, pause=3, text="why"),
]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def entry(*rows: object) -> dict[str, str]:
    return {"reports": json.dumps(rows)}


@pytest.mark.parametrize(
    "change",
    [
        {"text": "\0"},
        {"text": 5},
        {"logged_at": -1},
        {"logged_at": 10**15},
        {"logged_at": 1.5},
        {"task_id": 2**31},
        {"publication": True},
    ],
)
def test_a_line_that_sql_could_not_store_is_refused(change: dict[str, object]) -> None:
    row = {"kind": "task_logged", **TASK, "logged_at": 1, "text": "said", **change}
    read, refused = reports.decode("1-1", entry(row))
    assert (read, len(refused)) == ([], 1)


def test_each_kind_of_report_is_read_as_it_was_published(redis: redis_module.Redis) -> None:
    report_stream.publish(redis, EACH)
    batch = report_stream.read(redis, "0", block_seconds=1)
    assert list(batch.reports) == EACH
    assert not batch.refused


def test_a_long_text_is_shortened_rather_than_refused() -> None:
    [long] = [Trouble(**SESSION, reason=TroubleReason.MESSAGE_REFUSED, text="x" * 100_000)]
    [read], refused = reports.decode("1-1", reports.encode([long]))
    assert isinstance(read, Trouble)
    assert read.text == "x" * 1_000
    assert not refused


def test_a_malformed_report_does_not_hide_the_one_beside_it() -> None:
    good = {"kind": "running", **SESSION}
    read, refused = reports.decode("1-1", entry({"kind": "running"}, good, 3, None))
    assert read == [Running(**SESSION)]
    assert len(refused) == 3


def test_an_unknown_kind_is_refused() -> None:
    read, [refused] = reports.decode("1-1", entry({"kind": "dreaming", **SESSION}))
    assert not read
    assert refused.reason == "unknown kind"


def test_an_unknown_reason_is_refused() -> None:
    read, refused = reports.decode("1-1", entry({"kind": "stopped", **SESSION, "reason": "?"}))
    assert not read
    assert refused


def test_an_unknown_field_of_a_newer_node_is_dropped_and_reported() -> None:
    read, [refused] = reports.decode("1-1", entry({"kind": "running", **SESSION, "mood": 1}))
    assert read == [Running(**SESSION)]
    assert "mood" in refused.reason


@given(st.text())
def test_any_text_is_read_without_an_error(text: str) -> None:
    reports.decode("1-1", {"reports": text})


@given(st.lists(st.dictionaries(st.sampled_from(["kind", *SESSION, "reason"]), json_values)))
def test_any_json_is_read_without_an_error(rows: list[object]) -> None:
    reports.decode("1-1", {"reports": json.dumps(rows)})


def test_what_is_refused_is_kept_and_counted(redis: redis_module.Redis) -> None:
    redis.xadd(keys.REPORTS, {"reports": "[1, 2"})
    redis.xadd(keys.REPORTS, {"other": "field"})
    batch = report_stream.read(redis, "0", block_seconds=1)
    quarantine.quarantine(redis, batch.refused)
    assert quarantine.refused_count(redis) == 2
    assert redis.xlen(keys.REPORTS_REFUSED) == 2
