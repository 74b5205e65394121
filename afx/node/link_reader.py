"""Reads a host's sessions' links from Redis; waits while Redis does not answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar

import redis

from afx.cluster import keys
from afx.cluster.links import CopyRoute, parse_head, parse_route
from afx.node.redis_trouble import RedisTrouble

_RETRY_SECONDS, _RETRY_MAX = 0.2, 2.0

_T = TypeVar("_T")


class LinkReader:
    """Reads over the host's own client: links are strings of bytes, and it decodes."""

    def __init__(self, client: Any, trouble: RedisTrouble) -> None:
        self._redis = client
        self._trouble = trouble

    async def heads(self, rules: Iterable[int]) -> dict[CopyRoute, int]:
        """Return the highest source id that was ever linked, by route, of some rules."""
        wanted = list(dict.fromkeys(rules))

        async def read() -> list[Any]:
            async with self._redis.pipeline(transaction=False) as pipe:
                for rule in wanted:
                    pipe.hgetall(keys.links(rule))
                return list(await pipe.execute(raise_on_error=False))

        found: dict[CopyRoute, int] = {}
        for rule, stored in zip(wanted, await self._ask(read), strict=True):
            # A key of another type is quarantined by the next commit, which replaces it.
            for field, text in stored.items() if isinstance(stored, dict) else ():
                route, head = parse_route(rule, field), parse_head(text)
                if route and head:
                    found[route] = head[1]
        return found

    async def blocks(self, names: Sequence[str]) -> list[bytes | None]:
        """Return the blocks of links under some keys; None for none."""

        async def read() -> list[bytes | None]:
            return list(await self._redis.execute_command("MGET", *names, NEVER_DECODE=True))

        return await self._ask(read) if names else []

    async def _ask(self, read: Callable[[], Awaitable[_T]]) -> _T:
        pause = _RETRY_SECONDS
        while True:
            try:
                answer = await read()
            except redis.RedisError as error:
                self._trouble.failed("links", error)
                await asyncio.sleep(pause)
                pause = min(_RETRY_MAX, pause * 2)
            except asyncio.CancelledError:
                self._trouble.passed("links")
                raise
            else:
                self._trouble.passed("links")
                return answer
