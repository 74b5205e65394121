"""Reads a host's sessions' links from Redis; waits while Redis does not answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar

import redis

from afx.cluster import keys
from afx.cluster.links import CopyRoute, parse_head, parse_origins, parse_route
from afx.cluster.redis_faults import RedisFault, fault_of
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
                return _answers(await pipe.execute(raise_on_error=False))

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

    async def origins(self, name: str) -> dict[int, tuple[int, int]]:
        """Return a destination's origins: number → (rule, source)."""

        return parse_origins(await self._hash(name))

    async def intents(self, chat: int) -> dict[str, str]:
        """Return the open batches to a guarded channel, by session."""

        return await self._hash(keys.intents(chat))

    async def intents_of(self, session: int, chats: Sequence[int]) -> dict[int, str]:
        """Return the batches that a session has open, by channel."""

        async def read() -> list[Any]:
            async with self._redis.pipeline(transaction=False) as pipe:
                for chat in chats:
                    pipe.hget(keys.intents(chat), str(session))
                return _answers(await pipe.execute(raise_on_error=False))

        answers = await self._ask(read) if chats else []
        return {chat: it for chat, it in zip(chats, answers, strict=True) if isinstance(it, str)}

    async def _hash(self, name: str) -> dict[str, str]:
        """Return a hash; a key of another type is empty, and the next commit replaces it."""

        async def read() -> dict[str, str]:
            try:
                return dict(await self._redis.hgetall(name))
            except redis.ResponseError as error:
                if fault_of(error) is not RedisFault.WRONG_TYPE:
                    raise
                return {}

        return await self._ask(read)

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


def _answers(answers: Iterable[Any]) -> list[Any]:
    """Return answers, those about a key of a wrong type as errors; raises any other error."""
    found = list(answers)
    for it in found:
        if isinstance(it, redis.RedisError) and fault_of(it) is not RedisFault.WRONG_TYPE:
            raise it
    return found
