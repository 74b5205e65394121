"""Sends orders to nodes: signed JSON jobs on each incarnation's RQ queue."""

from __future__ import annotations

from collections.abc import Sequence

import redis
from rq import Queue
from rq.serializers import JSONSerializer

from afx.cluster import queues
from afx.security.signing import sign

_BATCH = 100


class Orders:
    """Writes the coordinator's orders."""

    def __init__(self, client: redis.Redis, key: bytes, ttl_seconds: float) -> None:
        """``client`` must not decode answers: RQ reads bytes."""
        self._redis = client
        self._key = key
        self._ttl = ttl_seconds

    def forget(self, node: str, incarnation: str) -> None:
        """Remove the queue of a dead incarnation, with what is left in it."""
        Queue(
            queues.node(node, incarnation), connection=self._redis, serializer=JSONSerializer
        ).delete(delete_jobs=True)

    def send(
        self, kind: str, term: int, node: str, incarnation: str, items: Sequence[tuple[int, int]]
    ) -> None:
        """Order a node to ``start`` or ``stop`` sessions, given as (session, epoch)."""
        queue = Queue(
            queues.node(node, incarnation), connection=self._redis, serializer=JSONSerializer
        )
        jobs = []
        for start in range(0, len(items), _BATCH):
            body = {"kind": kind, "term": term, "items": items[start : start + _BATCH]}
            envelope = sign(self._key, incarnation, body, self._ttl)
            jobs.append(
                Queue.prepare_data(
                    queues.ORDER,
                    args=(envelope,),
                    timeout=60,
                    ttl=int(self._ttl) or 1,
                    result_ttl=60,
                    failure_ttl=3600,
                    description=f"{kind} sessions on {node}",
                )
            )
        queue.enqueue_many(jobs)
