"""A node's heartbeats, several on their way at once where the network is slow.

A heartbeat that a lossy network holds up does not hold up the next one: each goes
over a connection of its own when the ones before are still out. Any that succeeds
renews the lease from the moment at which it was sent.
"""

from __future__ import annotations

import math
import queue
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import redis

from afx import lease
from afx.cluster.connection import connect
from afx.cluster.registry import Identity, Metrics, Registry, WorkerState
from afx.config import Settings
from afx.errors import AfxError


@dataclass(slots=True, frozen=True)
class Answer:
    """What became of one heartbeat."""

    incarnation: str
    sent_at: float
    """CLOCK_BOOTTIME seconds, read before it was sent."""
    desired_state: WorkerState = "ready"
    error: AfxError | redis.RedisError | None = None
    settled: tuple[int, ...] = ()
    """The sessions that it was to tell of."""


class Heartbeater:
    """Sends heartbeats on threads of its own; all else is for one thread.

    ``wake`` may be called from anywhere, a signal handler too.
    """

    def __init__(self, redis_url: str, settings: Settings) -> None:
        # What takes longer than the lease that it would renew is in vain.
        seconds = settings.lease.node
        self._redis = connect(redis_url, timeout_seconds=seconds)
        self._registry = Registry(self._redis)
        self._most = math.ceil(seconds / settings.heartbeat_seconds)
        self._threads = ThreadPoolExecutor(self._most, "heart")
        self._under_way = 0
        self._incarnation = ""
        self._unsaid: tuple[int, ...] = ()
        """Settled sessions that no heartbeat has told of yet."""
        self._news: queue.SimpleQueue[Answer | None] = queue.SimpleQueue()

    def beat(self, who: Identity, metrics: Metrics, settled: list[int], seen: WorkerState) -> None:
        """Send a heartbeat, unless a whole lease's worth of them is out.

        What was to be told with one that failed is told with the next.
        """
        if who.incarnation != self._incarnation:
            self._incarnation, self._unsaid = who.incarnation, ()
        self._unsaid += tuple(settled)
        if self._under_way < self._most:
            self._under_way += 1
            telling, self._unsaid = self._unsaid, ()
            self._threads.submit(self._beat, who, metrics, telling, seen)

    def answer(self, seconds: float) -> Answer | None:
        """Return the next answer; None when none comes in time, or on ``wake``."""
        try:
            found = self._news.get(timeout=max(0.0, seconds))
        except queue.Empty:
            return None
        if found:
            self._under_way -= 1
            if found.error and found.incarnation == self._incarnation:
                self._unsaid += found.settled
        return found

    def wake(self) -> None:
        """Let ``answer`` return at once."""
        self._news.put(None)

    def close(self) -> None:
        """Give up what is under way, and end the threads."""
        self._redis.close()
        self._threads.shutdown(cancel_futures=True)

    def _beat(
        self, who: Identity, metrics: Metrics, settled: tuple[int, ...], seen: WorkerState
    ) -> None:
        sent_at = lease.now()
        try:
            _term, wanted = self._registry.beat(who, metrics, settled, seen)
            answer = Answer(who.incarnation, sent_at, wanted)
        except (AfxError, redis.RedisError) as error:
            answer = Answer(who.incarnation, sent_at, error=error, settled=settled)
        self._news.put(answer)
