"""Sends orders to nodes: signed JSON jobs on each incarnation's RQ queue."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

import redis
from rq import Queue
from rq.serializers import JSONSerializer

from afx.cluster import key_repair, queues
from afx.cluster.job_envelope import JobEnvelope
from afx.cluster.session_orders import (
    ORDER_PURPOSE,
    SESSIONS_AT_ONCE,
    SessionOrder,
    encode_cancel,
    encode_order,
)
from afx.cluster.signed_job import SignedJob
from afx.security.signing import SigningKeys

_KINDS = {"start": queues.START, "stop": queues.STOP, "renew": queues.RENEW}


class Orders:
    """Writes the coordinator's orders."""

    def __init__(
        self,
        client: redis.Redis,
        keys: SigningKeys,
        ttl_seconds: float,
        *,
        clock: Callable[[], float] = time.time,
        new_id: Callable[[], str] = lambda: uuid4().hex,
    ) -> None:
        """``client`` must not decode answers: RQ reads bytes. ``clock`` is the wall clock."""
        self._redis = client
        self._keys = keys
        self._ttl = ttl_seconds
        self._clock = clock
        self._new_id = new_id

    def send(
        self,
        kind: str,
        term: int,
        node: str,
        incarnation: str,
        items: Sequence[tuple[int, int]],
    ) -> None:
        """Order a node to ``start``, ``stop`` or ``renew`` sessions, given as (session, epoch)."""
        parts = [
            tuple(items[begin : begin + SESSIONS_AT_ONCE])
            for begin in range(0, len(items), SESSIONS_AT_ONCE)
        ]
        orders = [encode_order(SessionOrder(term, it)) for it in parts]
        self._enqueue(_KINDS[kind], node, incarnation, orders, f"{kind} sessions on {node}")

    def ask_inventory(self, term: int, node: str, incarnation: str) -> None:
        """Order a node to report all sessions that have not ended there."""
        text = f"list the sessions of {node}"
        self._enqueue(
            queues.INVENTORY, node, incarnation, [encode_order(SessionOrder(term, ()))], text
        )

    def cancel_tasks(self, node: str, incarnation: str, tasks: Sequence[tuple[int, int]]) -> None:
        """Order a node to cancel tasks, given as (task, publication)."""
        parts = [
            encode_cancel(tasks[begin : begin + SESSIONS_AT_ONCE])
            for begin in range(0, len(tasks), SESSIONS_AT_ONCE)
        ]
        self._enqueue(queues.CANCEL, node, incarnation, parts, f"cancel tasks on {node}")

    def _enqueue(
        self, kind: str, node: str, incarnation: str, orders: Sequence[dict[str, Any]], text: str
    ) -> None:
        queue = self._queue(node, incarnation)
        try:
            self._push(kind, queue, incarnation, orders, text)
        except redis.ResponseError:
            types = {queue.key: "list", Queue.redis_queues_keys: "set"}
            if not key_repair.repair(self._redis, types):
                raise
            self._push(kind, queue, incarnation, orders, text)

    def _push(
        self, kind: str, queue: Queue, incarnation: str, orders: Sequence[dict[str, Any]], text: str
    ) -> None:
        pipe = self._redis.pipeline()
        for order in orders:
            now = self._clock()
            envelope = JobEnvelope(
                purpose=ORDER_PURPOSE,
                audience=incarnation,
                job_id=self._new_id(),
                kind=kind,
                arguments=order,
                issued=now,
                expires=now + self._ttl,
                nonce=self._new_id(),
            )
            job = SignedJob.sealed(
                self._redis,
                self._keys,
                envelope,
                description=text,
                ttl_seconds=int(self._ttl) or 1,
            )
            queue.enqueue_job(job, pipeline=pipe)
        pipe.execute()

    def _queue(self, node: str, incarnation: str) -> Queue:
        return Queue(
            queues.node(node, incarnation),
            connection=self._redis,
            job_class=SignedJob,
            serializer=JSONSerializer,
        )
