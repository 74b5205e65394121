"""What is stored of outboxes and guarded chats, and could not be used, stops nothing."""

from __future__ import annotations

import asyncio

import pytest
import redis as redis_module

from afx.cluster import keys
from afx.cluster.connection import connect_async
from afx.node.guarded_chats import GuardedChats
from afx.node.redis_trouble import RedisTrouble
from afx.node.references import decode
from afx.telegram.session import MalformedPositionError

A, B = -1_000_000_000_001, -1_000_000_000_002


@pytest.mark.parametrize(
    "text",
    [
        "7:c:-1000000000005:5-3",
        "7:c:-1000000000005:9999999999",
        "7:c:-9999999999999999999:1",
    ],
)
def test_a_chunk_that_could_never_be_sent_is_malformed(text: str) -> None:
    with pytest.raises(MalformedPositionError):
        decode(text)


def test_a_member_of_the_guarded_channels_that_is_no_id_stops_no_session(
    redis_url: str, redis: redis_module.Redis
) -> None:
    redis.sadd(keys.CHATS_GUARDED, "9" * 5000, str(A))

    async def main() -> None:
        seen: list[frozenset[int]] = []
        client = connect_async(redis_url)
        chats = GuardedChats(client, RedisTrouble(lambda _: None), lambda: 0)
        await chats.register(1, [A], [B], seen.append)
        polling = asyncio.create_task(chats.run())
        await asyncio.sleep(1.5)
        polling.cancel()
        await client.aclose()
        assert seen[-1] == frozenset({A}), "no host learns of guarded channels any more"

    asyncio.run(main())
