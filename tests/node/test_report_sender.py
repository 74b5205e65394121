"""A host's reports while Redis refuses them."""

from __future__ import annotations

import asyncio

import redis as redis_module

from afx.cluster import keys, report_stream
from afx.cluster.connection import connect_async
from afx.node.report_sender import ReportSender
from afx.reasons import StopReason


def test_reports_that_redis_refuses_are_sent_later_in_their_order(
    redis_url: str, redis: redis_module.Redis
) -> None:
    async def scenario() -> None:
        client = connect_async(redis_url)
        sender = ReportSender(client, "w1", "one")
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
