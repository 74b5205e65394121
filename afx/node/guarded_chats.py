"""The channels that one session of the cluster reads and another one posts to.

A message in such a channel may be a copy. Who reads it asks for its link first, and who
posts to it says so in Redis before each batch (see ``intents``). Only channels and
supergroups can be guarded over accounts: in other chats each account has ids of its own.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import redis
import structlog

from afx.cluster import keys
from afx.cluster.links import is_channel
from afx.cluster.scripts import source
from afx.node.redis_trouble import RedisTrouble

_POLL_SECONDS = 1.0
_LEARNED_SECONDS = 3.0
"""After so long all hosts know of a channel that is newly guarded."""
_RETRY_SECONDS = 0.5
_ID = re.compile(r"-?[0-9]{1,19}", re.ASCII)

log = structlog.get_logger()


@dataclass(slots=True, frozen=True)
class _Watch:
    sources: tuple[int, ...]
    destinations: tuple[int, ...]
    note: Callable[[frozenset[int]], None]


class GuardedChats:
    """What one host knows of them; sessions register with it as they start."""

    def __init__(self, client: Any, trouble: RedisTrouble, losses: Callable[[], int]) -> None:
        """``losses`` returns how often Redis has lost its data, as far as is known."""
        self._redis = client
        self._script = client.register_script(source("register_chats"))
        self._trouble = trouble
        self._losses = losses
        self._losses_seen = 0
        self._watches: dict[int, _Watch] = {}

    async def register(
        self,
        session_id: int,
        sources: Iterable[int],
        destinations: Iterable[int],
        note: Callable[[frozenset[int]], None],
    ) -> None:
        """Register a session's chats; when this returns, all hosts know of them.

        ``note`` is called with all guarded channels, now and about once a second.
        """
        watch = _Watch(
            tuple(it for it in sources if is_channel(it)),
            tuple(it for it in destinations if is_channel(it)),
            note,
        )
        if not watch.sources and not watch.destinations:
            return
        while True:
            try:
                news, guarded = await self._register(watch)
                break
            except redis.RedisError as error:
                self._trouble.failed("chats", error)
                await asyncio.sleep(_RETRY_SECONDS)
        self._trouble.passed("chats")
        note(guarded)
        self._watches[session_id] = watch
        if news:
            await asyncio.sleep(_LEARNED_SECONDS)

    def forget(self, session_id: int) -> None:
        """A session has ended."""
        self._watches.pop(session_id, None)

    async def run(self) -> None:
        """Tell the sessions of new guarded channels, for ever."""
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            if not self._watches:
                continue
            try:
                await self._poll()
            except redis.RedisError as error:
                self._trouble.failed("chats", error)
            except Exception as error:
                # An error of one session must not end the host.
                log.error("guarded_chats_failed", error=repr(error))
            else:
                self._trouble.passed("chats")

    async def _poll(self) -> None:
        losses = self._losses()
        if losses != self._losses_seen:
            for watch in list(self._watches.values()):
                await self._register(watch)
            self._losses_seen = losses
        guarded = _numbers(await self._redis.smembers(keys.CHATS_GUARDED))
        for watch in list(self._watches.values()):
            watch.note(guarded)

    async def _register(self, watch: _Watch) -> tuple[bool, frozenset[int]]:
        news, *guarded = await self._script(
            keys=[keys.CHAT_SOURCES, keys.CHAT_DESTINATIONS, keys.CHATS_GUARDED],
            args=[len(watch.sources), *watch.sources, *watch.destinations],
        )
        return bool(news), _numbers(guarded)


def _numbers(texts: Iterable[str]) -> frozenset[int]:
    """Return the numbers among texts; what is malformed is left out."""
    return frozenset(int(it) for it in texts if _ID.fullmatch(it))
