"""What sessions need to start, read from a Redis in which anything may lie."""

from __future__ import annotations

import asyncio

import pytest
import redis as redis_module
from support.specs import SIGNING_KEYS, stored_spec

from afx.cluster import keys
from afx.cluster.connection import connect_async
from afx.node.redis_trouble import RedisTrouble
from afx.node.session_loader import Loaded, load


def loaded(redis_url: str, *items: tuple[int, int]) -> list[Loaded]:
    async def read() -> list[Loaded]:
        client = connect_async(redis_url)
        try:
            async with asyncio.timeout(10):
                return await load(client, SIGNING_KEYS, items, RedisTrouble(lambda _: None))
        finally:
            await client.aclose()

    return asyncio.run(read())


@pytest.mark.parametrize("key", [keys.spec(2), keys.cursor(2), keys.entities(2)])
def test_a_key_of_a_wrong_type_fails_its_own_session_only(
    redis: redis_module.Redis, redis_url: str, key: str
) -> None:
    for it in (1, 2, 3):
        redis.set(keys.spec(it), stored_spec(it, 5))
    redis.delete(key)
    redis.rpush(key, "a list")
    one, two, three = loaded(redis_url, (1, 5), (2, 5), (3, 5))
    assert one.spec and three.spec
    assert two.spec is None and two.error


def test_a_text_that_is_not_utf_8_fails_its_own_session_only(
    redis: redis_module.Redis, redis_url: str
) -> None:
    redis.set(keys.spec(1), b"\xff")
    redis.set(keys.spec(2), stored_spec(2, 5))
    one, two = loaded(redis_url, (1, 5), (2, 5))
    assert one.spec is None and one.error
    assert two.spec
