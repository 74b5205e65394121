"""A node's heartbeats, several in flight at once where the network is slow.

A heartbeat that a lossy network delays does not delay the next one: each uses a
connection of its own while earlier ones are in flight. Any that succeeds renews the
lease from the moment at which it was sent.
"""

from __future__ import annotations

import math
import queue
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import redis

from afx.clock import SYSTEM_CLOCK, Clock
from afx.cluster.redis_faults import RedisFault
from afx.cluster.registry import Registry
from afx.cluster.worker_records import Identity, Metrics, WorkerState
from afx.errors import AfxError
from afx.node_settings import NodeSettings


@dataclass(slots=True, frozen=True)
class Answer:
    """The outcome of one heartbeat."""

    incarnation: str
    sent_at: float
    """CLOCK_BOOTTIME seconds, read before it was sent."""
    desired_state: WorkerState = "ready"
    error: AfxError | redis.RedisError | None = None
    settled: tuple[int, ...] = ()
    """The sessions that it was to report as started."""


class Heartbeater:
    """Sends heartbeats on threads of its own; the methods are for one thread.

    ``wake`` may be called from any thread, and from a signal handler.
    """

    def __init__(
        self,
        client: redis.Redis,
        settings: NodeSettings,
        clock: Clock = SYSTEM_CLOCK,
        *,
        after_beat: Callable[[], None] = lambda: None,
    ) -> None:
        """``after_beat`` is called after each heartbeat that succeeded, on its thread.

        A heartbeat that takes longer than the lease that it would renew is useless:
        ``client`` waits no longer for an answer.
        """
        self._clock = clock
        self._after_beat = after_beat
        seconds = settings.lease.node
        self._redis = client
        self._registry = Registry(client)
        self._most = math.ceil(seconds / settings.heartbeat_seconds)
        self._threads = ThreadPoolExecutor(self._most, "heartbeat")
        self._in_flight = 0
        self._was_slow = False
        """Whether several heartbeats were in flight since connections were last closed."""
        self._incarnation = ""
        self._unreported: tuple[int, ...] = ()
        """Started sessions that no heartbeat has reported yet."""
        self._answers: queue.SimpleQueue[Answer | None] = queue.SimpleQueue()

    def beat(
        self,
        identity: Identity,
        metrics: Metrics,
        settled: list[int],
        seen: WorkerState,
        *,
        redis_fault: RedisFault | None = None,
    ) -> None:
        """Send a heartbeat, unless a whole lease's worth of them is in flight.

        ``redis_fault`` is what hinders the host's use of Redis. The next one reports the
        sessions that a failed one was to report.
        """
        if identity.incarnation != self._incarnation:
            self._incarnation, self._unreported = identity.incarnation, ()
        self._unreported += tuple(settled)
        if self._in_flight < self._most:
            self._in_flight += 1
            self._was_slow = self._was_slow or self._in_flight > 1
            reported, self._unreported = self._unreported, ()
            self._threads.submit(self._beat, identity, metrics, reported, seen, redis_fault or "")

    def answer(self, seconds: float) -> Answer | None:
        """Return the next answer; None when none arrives in time, or on ``wake``."""
        try:
            answer = self._answers.get(timeout=max(0.0, seconds))
        except queue.Empty:
            return None
        if answer:
            self._in_flight -= 1
            self._close_idle_connections()
            if answer.error and answer.incarnation == self._incarnation:
                self._unreported += answer.settled
        return answer

    def _close_idle_connections(self) -> None:
        """Close the connections that a slow network made necessary, once it is fast again."""
        if self._was_slow and not self._in_flight:
            self._was_slow = False
            self._redis.connection_pool.disconnect(inuse_connections=False)

    def wake(self) -> None:
        """Let ``answer`` return at once."""
        self._answers.put(None)

    def close(self) -> None:
        """Abandon what is in flight, and end the threads; closes the client."""
        self._redis.close()
        self._threads.shutdown(cancel_futures=True)

    def _beat(
        self,
        identity: Identity,
        metrics: Metrics,
        settled: tuple[int, ...],
        seen: WorkerState,
        redis_fault: str,
    ) -> None:
        sent_at = self._clock.boottime()
        try:
            _term, desired_state = self._registry.beat(
                identity, metrics, settled, seen, redis_fault=redis_fault
            )
            answer = Answer(identity.incarnation, sent_at, desired_state)
        except (AfxError, redis.RedisError) as error:
            answer = Answer(identity.incarnation, sent_at, error=error, settled=settled)
        except Exception as error:
            # Such as a malformed value in Redis. Without an answer this heartbeat would
            # count as in flight for ever.
            failure = AfxError(f"The answer to a heartbeat is malformed: {error!r}")
            answer = Answer(identity.incarnation, sent_at, error=failure, settled=settled)
        self._answers.put(answer)
        if answer.error is None:
            self._after_beat()
