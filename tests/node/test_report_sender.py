"""A host's reports while Redis refuses them."""

from __future__ import annotations

import asyncio

import pytest
import redis as redis_module

from afx.cluster import keys, report_stream
from afx.cluster.connection import connect_async
from afx.cluster.reports import Inventory, RulesCounted
from afx.cluster.rule_counts import RuleTally, tallies_of
from afx.node import report_sender
from afx.node.redis_trouble import RedisTrouble
from afx.node.report_sender import ReportSender
from afx.reasons import StopReason, TroubleReason


def test_reports_that_redis_refuses_are_sent_later_in_their_order(
    redis_url: str, redis: redis_module.Redis
) -> None:
    async def scenario() -> None:
        client = connect_async(redis_url)
        sender = ReportSender(client, "w1", "one", RedisTrouble(lambda _: None))
        redis.set(keys.REPORTS, "not a stream")
        sender.running(1, 5)
        await sender.flush()
        sender.stopped(1, 5, StopReason.REQUESTED)
        await sender.flush()
        assert len(sender.waiting) == 2
        redis.delete(keys.REPORTS)
        await sender.flush()
        assert not sender.waiting
        await client.aclose()

    asyncio.run(scenario())
    batch = report_stream.read(redis, "0", block_seconds=1)
    assert [it.kind for it in batch.reports] == ["running", "stopped"]


def test_what_waits_while_redis_refuses_is_bounded_and_no_end_is_lost(
    redis_url: str, redis: redis_module.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_sender, "_MOST_TROUBLES", 10)

    async def scenario() -> None:
        client = connect_async(redis_url)
        sender = ReportSender(client, "w1", "one", RedisTrouble(lambda _: None))
        redis.set(keys.REPORTS, "not a stream")
        for number in range(1_000):
            sender.trouble(number % 100, 5, TroubleReason.SEND_FAILED, f"try {number}")
            sender.active((number % 100,))
            sender.inventory(number, [(1, 5)])
        sender.stopped(1, 5, StopReason.REQUESTED)
        assert len(sender.waiting) == 10 + 1 + 1 + 1
        assert not await sender.flush()
        redis.delete(keys.REPORTS)
        assert await sender.flush()
        await client.aclose()

    asyncio.run(scenario())
    found = report_stream.read(redis, "0", block_seconds=1).reports
    kinds = [it.kind for it in found]
    assert kinds == ["inventory", "stopped", *["trouble"] * 10, "active"]
    assert [it.text for it in found if it.kind == "trouble"][-1] == "try 999"  # type: ignore[union-attr]


def test_two_flushes_at_once_send_each_report_once(
    redis_url: str, redis: redis_module.Redis
) -> None:
    async def scenario() -> None:
        client = connect_async(redis_url)
        sender = ReportSender(client, "w1", "one", RedisTrouble(lambda _: None))
        for session_id in range(2_500):
            sender.running(session_id, 5)
        await asyncio.gather(sender.flush(), sender.flush())
        await client.aclose()

    asyncio.run(scenario())
    found = report_stream.read(redis, "0", block_seconds=1).reports
    assert [it.session_id for it in found] == list(range(2_500))  # type: ignore[union-attr]


def test_counts_of_rules_are_added_up_while_redis_refuses_them(
    redis_url: str, redis: redis_module.Redis
) -> None:
    async def scenario() -> None:
        client = connect_async(redis_url)
        sender = ReportSender(client, "w1", "one", RedisTrouble(lambda _: None))
        redis.set(keys.REPORTS, "not a stream")
        for _ in range(3):
            sender.rules_counted({7: RuleTally(forwarded=1, latencies={2: 1})})
        sender.rules_counted({8: RuleTally(skipped=1)})
        assert len(sender.waiting) == 1
        assert not await sender.flush()
        sender.rules_counted({7: RuleTally(waits=1, waited_ms=500)})
        redis.delete(keys.REPORTS)
        assert await sender.flush()
        await client.aclose()

    asyncio.run(scenario())
    batch = report_stream.read(redis, "0", block_seconds=1)
    reports = [it for it in batch.reports if isinstance(it, RulesCounted)]
    assert tallies_of(reports) == {
        7: RuleTally(forwarded=3, waits=1, waited_ms=500, latencies={2: 3}),
        8: RuleTally(skipped=1),
    }


def test_a_leader_of_an_older_term_does_not_take_the_answer_of_a_newer_one() -> None:
    async def scenario() -> None:
        client = connect_async("redis://127.0.0.1:1")  # nothing is sent
        sender = ReportSender(client, "w1", "one", RedisTrouble(lambda _: None))
        for term in (7, 5, 5):
            sender.inventory(term, [(1, 5)])
        assert [it.term for it in sender.waiting if isinstance(it, Inventory)] == [7, 5]

    asyncio.run(scenario())
