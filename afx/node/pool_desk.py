"""What the pools of all sessions of a host share: their store, and the waits for answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import redis

from afx.cluster.pools import LostOwnerError, PoolLane, PoolStore
from afx.node.redis_trouble import RedisTrouble
from afx.security.vault import Vault

_RETRY_SECONDS = 0.2
_WORK = "pools"

_T = TypeVar("_T")


class PoolDesk:
    """The owners of a host's pool lanes wait here for what their senders answer."""

    def __init__(
        self,
        store: PoolStore,
        vault: Vault,
        incarnation: str,
        trouble: RedisTrouble,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.store = store
        self.incarnation = incarnation
        self.monotonic = monotonic
        self._vault = vault
        self._trouble = trouble
        self._waiting: dict[PoolLane, asyncio.Event] = {}

    def seal(self, order: str, sender: int) -> str:
        """Encrypt an order for a sender."""
        return self._vault.seal_order(order, session_id=sender)

    def open(self, sealed: str, sender: int) -> str:
        """Decrypt an order; raises SecretError."""
        return self._vault.open_order(sealed, session_id=sender)

    async def ask(self, call: Callable[[], Awaitable[_T]]) -> _T:
        """Ask Redis until it answers: each call may be repeated."""
        while True:
            try:
                answer = await call()
            except (redis.RedisError, LostOwnerError) as error:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    # A call that is cancelled may raise a timeout instead.
                    raise asyncio.CancelledError from None
                if isinstance(error, redis.RedisError):
                    self._trouble.failed(_WORK, error)
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                self._trouble.passed(_WORK)
                return answer

    def answered(self, lane: PoolLane) -> None:
        """A lane's order has an answer."""
        if event := self._waiting.get(lane):
            event.set()

    async def wait(self, lane: PoolLane, seconds: float) -> None:
        """Wait until an answer is told of, but not for longer than some seconds."""
        event = self._waiting.setdefault(lane, asyncio.Event())
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            pass
        finally:
            if self._waiting.get(lane) is event:
                del self._waiting[lane]
