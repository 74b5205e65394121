"""Removes what RQ keeps of incarnations that have ended, and of workers that were killed.

RQ's own cleaning reads the jobs of other writers, so no worker of ours runs it. What has to
go is found in Redis itself, whichever leader saw the end of an incarnation: a queue that
belongs to no registered incarnation in two checks in a row is removed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import redis
import structlog
from rq import Queue
from rq.registry import FailedJobRegistry, FinishedJobRegistry, StartedJobRegistry
from rq.worker_registration import REDIS_WORKER_KEYS, WORKERS_BY_QUEUE_KEY

from afx.cluster import queues
from afx.cluster.task_jobs import PRIORITIES, node_queue
from afx.cluster.worker_records import WorkerView
from afx.coordinator.interval import Interval

_SECONDS = 30.0
_REGISTRIES = (StartedJobRegistry, FinishedJobRegistry, FailedJobRegistry)
_PREFIX = Queue.redis_queue_namespace_prefix.encode()

log = structlog.get_logger()


class RqCleanup:
    """The cleaning of one term; the jobs themselves expire."""

    def __init__(
        self,
        client: redis.Redis,
        *,
        seconds: float = _SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``client`` must not decode answers; a check is made every so many seconds.

        ``clock`` is the wall clock.
        """
        self._clock = clock
        self._redis = client
        self._interval = Interval(seconds)
        self._unowned: frozenset[bytes] = frozenset()
        """The queues that belonged to no incarnation in the last check."""

    def step(self, nodes: Sequence[WorkerView], now: float) -> None:
        """Check, when it is due; ``nodes`` are those that are not dead."""
        if not self._interval.is_due(now):
            return
        owned = [it.encode() for node in nodes for it in _queues_of(node)]
        unowned = self._node_queues().difference(owned)
        ended = unowned & self._unowned
        for queue in ended:
            self._remove_queue(queue)
        self._unowned = frozenset(unowned - ended)
        self._remove_expired_workers([*owned, *(it.encode() for it in PRIORITIES)])
        self._prune_shared()
        if ended:
            log.info("queues_removed", count=len(ended))

    def _node_queues(self) -> set[bytes]:
        """Return the names of the nodes' queues that RQ knows."""
        [found] = self._members([Queue.redis_queues_keys])
        names = {it.removeprefix(_PREFIX) for it in found if it.startswith(_PREFIX)}
        return {it for it in names if it.startswith(queues.NODE_PREFIX.encode())}

    def _remove_queue(self, queue: bytes) -> None:
        pipe = self._redis.pipeline(transaction=False)
        pipe.srem(Queue.redis_queues_keys, _PREFIX + queue)
        # Names may be any bytes: a key that RQ would build of a text is of our own making.
        name = queue.decode(errors="surrogateescape")
        workers = (WORKERS_BY_QUEUE_KEY % name).encode(errors="surrogateescape")
        pipe.sdiffstore(REDIS_WORKER_KEYS, [REDIS_WORKER_KEYS, workers])
        registries = [it(name, connection=self._redis).key for it in _REGISTRIES]
        pipe.delete(
            _PREFIX + queue,
            _PREFIX + queue + b":intermediate",
            workers,
            *(it.encode(errors="surrogateescape") for it in registries),
        )
        # A key of a wrong type is another writer's doing, and no reason to stop.
        pipe.execute(raise_on_error=False)

    def _prune_shared(self) -> None:
        """Forget what the registries of the shared queues need not keep any more."""
        now = self._clock()
        pipe = self._redis.pipeline(transaction=False)
        for name in PRIORITIES:
            for registry in _REGISTRIES:
                key = registry(name, connection=self._redis).key
                pipe.zremrangebyscore(key, "-inf", now)
        pipe.execute(raise_on_error=False)

    def _remove_expired_workers(self, owned: Iterable[bytes]) -> None:
        """Remove the names of workers whose records have expired."""
        sets = [REDIS_WORKER_KEYS.encode(), *(_workers_of(it) for it in owned)]
        members = dict(zip(sets, self._members(sets), strict=True))
        names = sorted(set().union(*members.values()))
        pipe = self._redis.pipeline(transaction=False)
        for it in names:
            pipe.exists(it)
        expired = {it for it, exists in zip(names, pipe.execute(), strict=True) if not exists}
        pipe = self._redis.pipeline(transaction=False)
        for key, found in members.items():
            if gone := found & expired:
                pipe.srem(key, *gone)
        pipe.execute(raise_on_error=False)

    def _members(self, names: Sequence[str | bytes]) -> list[set[bytes]]:
        """Return what each of these sets has; one of another type is repaired elsewhere."""
        pipe = self._redis.pipeline(transaction=False)
        for it in names:
            pipe.smembers(it)
        found: list[Any] = pipe.execute(raise_on_error=False)
        return [it if isinstance(it, set) else set() for it in found]


def _queues_of(node: WorkerView) -> list[str]:
    """Return the queues of a node's incarnation: for orders, and for tasks."""
    of_tasks = (node_queue(node.name, node.incarnation, it) for it in range(len(PRIORITIES)))
    return [queues.node(node.name, node.incarnation), *of_tasks]


def _workers_of(queue: bytes) -> bytes:
    prefix: str = WORKERS_BY_QUEUE_KEY
    return prefix.encode() % queue
