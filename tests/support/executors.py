"""A real executor on a real Redis, whose handlers write down what they are ordered."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import redis as redis_module

from afx.cluster import queues
from afx.cluster.connection import connect
from afx.coordinator.orders import Orders
from afx.node.executor import Executor
from afx.node.redis_trouble import RedisTrouble
from afx.security.signing import SigningKeys

KEYS = SigningKeys([b"k" * 32])
NODE, INCARNATION = "w1", "one"


class RunningExecutor:
    """The executor of node ``w1``, and a coordinator's orders to it."""

    def __init__(self, redis_url: str, keys: SigningKeys = KEYS) -> None:
        self._url = redis_url
        self._keys = keys
        self.started: list[tuple[int, int]] = []
        self.renewed: list[tuple[int, int]] = []
        self.stopped: list[tuple[int, int]] = []
        self.asked: list[int] = []
        """The terms in which an inventory was ordered."""
        self.cancelled: list[tuple[int, int]] = []
        """(task, publication) of each task that was ordered to be cancelled."""
        self.raw: redis_module.Redis = connect(redis_url, decode=False)
        self.orders = Orders(self.raw, keys, 60.0)
        self.queue = queues.node(NODE, INCARNATION)
        self.queue_key = f"rq:queue:{self.queue}"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._executor = asyncio.run_coroutine_threadsafe(self._new(), self._loop).result(10)
        self._executor.start()

    async def _new(self) -> Executor:
        return Executor(
            self,
            redis_url=self._url,
            node=NODE,
            incarnation=INCARNATION,
            keys=self._keys,
            trouble=RedisTrouble(lambda _: None),
        )

    async def order_start(self, term: int, items: list[tuple[int, int]]) -> dict[str, list[int]]:
        self.started += items
        return {"accepted": [session for session, _ in items], "refused": []}

    async def order_stop(self, term: int, items: list[tuple[int, int]]) -> dict[str, list[int]]:
        self.stopped += items
        return {"accepted": [session for session, _ in items], "refused": []}

    async def order_renew(self, term: int, items: list[tuple[int, int]]) -> dict[str, list[int]]:
        self.renewed += items
        return {"accepted": [session for session, _ in items], "refused": []}

    async def order_inventory(self, term: int) -> dict[str, list[int]]:
        self.asked.append(term)
        return {"accepted": [], "refused": []}

    async def order_cancel(self, tasks: list[tuple[int, int]]) -> dict[str, list[int]]:
        self.cancelled += tasks
        return {"accepted": [], "refused": []}

    def send_good_order(self, session_id: int) -> None:
        """Order a session to start, and wait until the node has done so."""
        self.orders.send("start", 1, NODE, INCARNATION, [(session_id, 1)])
        self.wait("the order is carried out", lambda: (session_id, 1) in self.started)

    def wait(self, what: str, condition: Callable[[], object], seconds: float = 20) -> None:
        """Wait until something is so; fails with its description."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"not within {seconds} s: {what}"
            time.sleep(0.005)

    def close(self) -> None:
        """End the executor's thread and the loop."""
        self._executor.stop()
        self.raw.delete(self.queue_key)
        self.raw.rpush(self.queue_key, "wake-up")
        assert self._executor.join(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
        self.raw.close()
