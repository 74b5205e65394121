"""Runs the coordinator's orders inside the host: an RQ worker on a thread.

The orders only hand over to the host's loop, so one thread is enough.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import redis
import structlog

from afx.cluster import queues
from afx.cluster.connection import connect
from afx.cluster.job_gate import JobGate, JobKind
from afx.cluster.session_orders import ORDER_PURPOSE, SessionOrder, parse_cancel, parse_order
from afx.node.order_worker import WORKER_TTL_SECONDS, OrderQueue, OrderWorker
from afx.node.redis_trouble import RedisTrouble
from afx.security.signing import SigningKeys

_HANDLER_SECONDS = 30.0
_RESTART_SECONDS = 0.5
_WORK = "orders"
log = structlog.get_logger()

Answer = dict[str, list[int]]


class OrderHandlers(Protocol):
    """What carries out orders, on the loop: the host."""

    async def order_start(self, term: int, items: list[tuple[int, int]]) -> Answer:
        """Start sessions, given as (session, epoch)."""

    async def order_stop(self, term: int, items: list[tuple[int, int]]) -> Answer:
        """Stop sessions, given as (session, epoch)."""

    async def order_renew(self, term: int, items: list[tuple[int, int]]) -> Answer:
        """Read filters and transforms of sessions anew, given as (session, epoch)."""

    async def order_inventory(self, term: int) -> Answer:
        """Report all sessions that have not ended."""

    async def order_cancel(self, tasks: list[tuple[int, int]]) -> Answer:
        """Cancel tasks, given as (task, publication)."""


class Executor:
    """The bridge from RQ's thread to the host's loop."""

    def __init__(
        self,
        handlers: OrderHandlers,
        *,
        redis_url: str,
        node: str,
        incarnation: str,
        keys: SigningKeys,
        trouble: RedisTrouble,
        clock: Callable[[], float] = time.time,
        on_wake: Callable[[], None] = lambda: None,
    ) -> None:
        """Call it on the loop of ``handlers``; ``clock`` is the wall clock.

        ``on_wake`` is called on the loop when there are tasks in other queues.
        """
        self._handlers = handlers
        self._trouble = trouble
        self._redis_url = redis_url
        self._node = node
        self._queue = queues.node(node, incarnation)
        self._loop = asyncio.get_running_loop()
        self._on_wake = on_wake
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="executor", daemon=True)
        # One gate for all workers of this incarnation: it knows which jobs have run.
        self._gate = JobGate(
            keys=keys,
            purpose=ORDER_PURPOSE,
            audience=incarnation,
            kinds={
                queues.START: JobKind(parse_order, self._start_sessions),
                queues.STOP: JobKind(parse_order, self._stop_sessions),
                queues.RENEW: JobKind(parse_order, self._renew_sessions),
                queues.INVENTORY: JobKind(parse_order, self._report_inventory),
                queues.CANCEL: JobKind(parse_cancel, self._cancel_tasks),
            },
            clock=clock,
        )

    def start(self) -> None:
        """Take jobs from now on, until this process ends."""
        self._thread.start()

    def stop(self) -> None:
        """Take no new job."""
        self._stopped.set()

    def join(self, seconds: float) -> bool:
        """Wait until the thread has ended; returns whether it has."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _start_sessions(self, order: SessionOrder) -> Answer:
        return self._on_loop(self._handlers.order_start(order.term, list(order.sessions)))

    def _stop_sessions(self, order: SessionOrder) -> Answer:
        return self._on_loop(self._handlers.order_stop(order.term, list(order.sessions)))

    def _renew_sessions(self, order: SessionOrder) -> Answer:
        return self._on_loop(self._handlers.order_renew(order.term, list(order.sessions)))

    def _report_inventory(self, order: SessionOrder) -> Answer:
        return self._on_loop(self._handlers.order_inventory(order.term))

    def _cancel_tasks(self, tasks: list[tuple[int, int]]) -> Answer:
        return self._on_loop(self._handlers.order_cancel(tasks))

    def _on_loop(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_HANDLER_SECONDS)

    def _run(self) -> None:
        """Run one worker after another: whatever ends one, orders must be taken."""
        while not self._stopped.is_set():
            try:
                self._work()
            except redis.RedisError as error:
                self._note_error(error)
            except Exception as error:
                log.error("executor_failed", error=repr(error))
            self._stopped.wait(_RESTART_SECONDS)

    def _note_error(self, error: BaseException) -> None:
        self._loop.call_soon_threadsafe(self._trouble.failed, _WORK, error)

    def _note_wake(self) -> None:
        self._loop.call_soon_threadsafe(self._on_wake)

    def _note_passed(self) -> None:
        self._loop.call_soon_threadsafe(self._trouble.passed, _WORK)

    def _work(self) -> None:
        # RQ wants raw bytes, and blocks longer than any socket timeout of ours.
        client = connect(self._redis_url, timeout_seconds=WORKER_TTL_SECONDS + 60, decode=False)
        try:
            queue = OrderQueue(
                self._queue,
                connection=client,
                gate=self._gate,
                node=self._node,
                is_stopping=self._stopped.is_set,
                on_answer=self._note_passed,
                on_wake=self._note_wake,
            )
            queue.prepare()
            worker = OrderWorker(queue, self._note_error)
            worker.log.setLevel("ERROR")
            worker.work(logging_level="ERROR")
        finally:
            client.close()
