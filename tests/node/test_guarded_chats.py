"""Which channels are guarded, as hosts learn it from Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import redis as redis_module
from redis.asyncio import Redis

from afx.cluster import keys
from afx.cluster.connection import connect_async
from afx.node import guarded_chats
from afx.node.guarded_chats import GuardedChats
from afx.node.link_reader import LinkReader
from afx.node.redis_trouble import RedisTrouble

A, B, C = -1_000_000_000_001, -1_000_000_000_002, -1_000_000_000_003
Scenario = Callable[["Redis", "Host"], Awaitable[None]]


class Host:
    """What one host knows."""

    def __init__(self, client: Redis) -> None:
        self.losses = 0
        self.seen: frozenset[int] = frozenset()
        self.chats = GuardedChats(client, RedisTrouble(lambda _: None), lambda: self.losses)

    def note(self, found: frozenset[int]) -> None:
        self.seen = found


@pytest.fixture
def run(
    redis_url: str, redis: redis_module.Redis, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Scenario], None]:
    del redis
    monkeypatch.setattr(guarded_chats, "_LEARNED_SECONDS", 0.2)
    monkeypatch.setattr(guarded_chats, "_POLL_SECONDS", 0.02)

    def run_scenario(scenario: Scenario) -> None:
        async def main() -> None:
            client = connect_async(redis_url)
            host = Host(client)
            running = asyncio.create_task(host.chats.run())
            try:
                async with asyncio.timeout(10):
                    await scenario(client, host)
            finally:
                running.cancel()
                await client.aclose()

        asyncio.run(main())

    return run_scenario


async def registering(host: Host, session: int, source: int, to: int) -> bool:
    """Register a session; returns whether it waited until other hosts had learned of it."""
    begun = asyncio.get_running_loop().time()
    await host.chats.register(session, [source], [to], host.note)
    return asyncio.get_running_loop().time() - begun >= 0.2


def test_a_channel_in_both_roles_is_guarded_and_who_made_it_so_waits(run: object) -> None:
    async def scenario(_: Redis, host: Host) -> None:
        assert not await registering(host, 1, A, B)
        assert not host.seen
        assert await registering(host, 2, B, C)
        assert host.seen == {B}
        assert not await registering(host, 2, B, C), "it is known by now"

    run(scenario)  # type: ignore[operator]


def test_chats_whose_ids_are_the_accounts_own_are_never_guarded(run: object) -> None:
    async def scenario(client: Redis, host: Host) -> None:
        assert not await registering(host, 1, 5, -7)
        assert not await registering(host, 2, -7, 5)
        assert not await client.exists(keys.CHAT_SOURCES)

    run(scenario)  # type: ignore[operator]


def test_after_a_loss_of_redis_the_chats_are_registered_again(run: object) -> None:
    async def scenario(client: Redis, host: Host) -> None:
        await registering(host, 1, A, B)
        await registering(host, 2, B, A)
        await client.flushall()
        host.losses += 1
        while not await client.exists(keys.CHATS_GUARDED):
            await asyncio.sleep(0.01)
        while host.seen != {A, B}:
            await asyncio.sleep(0.01)

    run(scenario)  # type: ignore[operator]


def test_a_session_that_fails_to_take_the_news_does_not_end_the_host(run: object) -> None:
    async def scenario(_: Redis, host: Host) -> None:
        failures = 0

        def fail(_: frozenset[int]) -> None:
            nonlocal failures
            failures += 1
            if failures > 1:
                raise ValueError("an example")

        await host.chats.register(1, [A], [B], fail)
        while failures < 4:
            await asyncio.sleep(0.01)

    run(scenario)  # type: ignore[operator]


@pytest.mark.parametrize("key", [keys.links(1), keys.intents(A), "afx:copies:1"])
def test_keys_of_a_wrong_type_are_read_as_empty(
    run: object, redis: redis_module.Redis, key: str
) -> None:
    async def scenario(client: Redis, _: Host) -> None:
        redis.rpush(key, "x")
        reader = LinkReader(client, RedisTrouble(lambda _: None))
        assert await reader.heads([1]) == {}
        assert await reader.intents(A) == {}
        assert await reader.intents_of(1, [A]) == {}
        assert await reader.origins("afx:copies:1") == {}
        assert await reader.blocks([key]) == [None]

    run(scenario)  # type: ignore[operator]
