"""Orders to a host: late, doubled and repeated ones start nothing twice."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import redis as redis_module

from afx import lease
from afx.cluster import keys
from afx.config import load
from afx.node.host import Host
from afx.node.lease_memory import LeaseMemory
from afx.security.vault import Vault

Story = Callable[[Host], Coroutine[Any, Any, None]]
KEY = "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s="


@pytest.fixture
def play(
    redis_url: str, home: Any
) -> Callable[[Callable[[Host], Coroutine[Any, Any, None]]], None]:
    def run(story: Callable[[Host], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            reader, writer = os.pipe()
            memory = LeaseMemory()
            memory.renew(lease.now() + 60, lease.now() + 60)
            host = Host(load(home=home), redis_url, "w1", "one", memory, Vault([KEY]), writer)
            try:
                async with asyncio.timeout(20):
                    await story(host)
            finally:
                await asyncio.gather(*host._tasks, return_exceptions=True)
                await host._redis.aclose()
                os.close(reader)
                os.close(writer)
                os.close(memory.descriptor)

        asyncio.run(main())

    return run


def told(host: Host) -> list[tuple[str, int, int]]:
    found = [(it.kind, it.session_id, it.epoch) for it in host._reports]
    host._reports.clear()
    return found


def test_what_has_ended_under_an_epoch_never_starts_again_under_it(play: Any) -> None:
    async def story(host: Host) -> None:
        await host.order_start(1, [(7, 5)])
        assert told(host) == [("failed", 7, 5)]  # there is no spec
        await host.order_start(1, [(7, 5)])
        assert told(host) == [("stopped", 7, 5)]
        await host.order_start(1, [(7, 6)])
        assert told(host) == [("failed", 7, 6)]

    play(story)


def test_a_stop_that_overtakes_its_start_ends_that_epoch(play: Any) -> None:
    async def story(host: Host) -> None:
        await host.order_stop(1, [(7, 5)])
        await asyncio.gather(*host._tasks)
        assert told(host) == [("stopped", 7, 5)]
        await host.order_start(1, [(7, 5)])
        assert told(host) == [("stopped", 7, 5)]

    play(story)


def test_a_start_that_comes_twice_at_once_starts_once(play: Any, redis: redis_module.Redis) -> None:
    spec = {"session": 7, "name": "s", "tier": "free", "login": "unsealable", "rules": []}
    redis.set(keys.spec(7), json.dumps(spec))

    async def story(host: Host) -> None:
        await asyncio.gather(*(host.order_start(1, [(7, 5)]) for _ in range(5)))
        await asyncio.gather(*host._tasks)
        assert told(host) == [("failed", 7, 5)]  # once: its login does not open

    play(story)


def test_an_older_leader_and_an_older_epoch_are_refused(play: Any) -> None:
    async def story(host: Host) -> None:
        await host.order_start(3, [(7, 5)])
        assert (await host.order_start(2, [(8, 5)]))["refused"] == [8]
        assert (await host.order_start(3, [(7, 4)]))["refused"] == [7]
        assert (await host.order_stop(2, [(7, 5)]))["refused"] == [7]

    play(story)
