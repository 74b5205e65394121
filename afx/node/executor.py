"""Runs the coordinator's jobs inside the host: an RQ worker on a thread.

The jobs themselves only hand over to the host's loop, so one thread is enough.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

import redis
import structlog
from rq import Queue, SimpleWorker
from rq.serializers import JSONSerializer
from rq.timeouts import TimerDeathPenalty

from afx.cluster.connection import connect
from afx.security.signing import SignatureError, verify

if TYPE_CHECKING:
    from afx.node.host import Host

_WAIT_SECONDS = 30.0
_TTL_SECONDS = 25
log = structlog.get_logger()
_current: Executor | None = None


class _ThreadWorker(SimpleWorker):  # type: ignore[misc]
    """An RQ worker off the main thread, where signals cannot be had."""

    death_penalty_class = TimerDeathPenalty

    def _install_signal_handlers(self) -> None:
        pass


class Executor:
    """The bridge from RQ's thread to the host's loop."""

    def __init__(
        self, host: Host, redis_url: str, queue: str, audience: str, signing_key: bytes
    ) -> None:
        self._host = host
        self._redis_url = redis_url
        self._queue = queue
        self._audience = audience
        self._key = signing_key
        self._loop = asyncio.get_running_loop()
        self._stopped = threading.Event()

    def start(self) -> None:
        """Take jobs from now on, until this process ends."""
        global _current  # noqa: PLW0603  RQ calls jobs by name, with no way to hand this over
        _current = self
        threading.Thread(target=self._run, name="executor", daemon=True).start()

    def stop(self) -> None:
        """Take no new job."""
        self._stopped.set()

    def order(self, envelope: dict[str, Any]) -> dict[str, Any]:
        """Carry out a signed order on the host's loop; called by a job.

        Raises SignatureError when it is not for this incarnation.
        """
        try:
            body = verify(self._key, self._audience, envelope)
        except SignatureError as error:
            log.error("order_refused", reason=str(error))
            raise
        items = [(int(session), int(epoch)) for session, epoch in body["items"]]
        work: Coroutine[Any, Any, dict[str, list[int]]]
        if body["kind"] == "start":
            work = self._host.order_start(body["term"], items)
        else:
            work = self._host.order_stop(body["term"], items)
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_WAIT_SECONDS)

    def _run(self) -> None:
        while not self._stopped.is_set():
            # RQ wants raw bytes, and blocks longer than any socket timeout of ours.
            client = connect(self._redis_url, timeout_seconds=_TTL_SECONDS + 60, decode=False)
            try:
                queue = Queue(self._queue, connection=client, serializer=JSONSerializer)
                worker = _ThreadWorker(
                    [queue],
                    connection=client,
                    serializer=JSONSerializer,
                    worker_ttl=_TTL_SECONDS,
                    default_result_ttl=60,
                )
                worker.log.setLevel("ERROR")
                worker.work(logging_level="ERROR")
            except redis.RedisError as error:
                log.warning("executor_lost_redis", reason=str(error))
                self._stopped.wait(0.5)
            finally:
                client.close()


def current() -> Executor:
    """Return this process's executor; only jobs ask for it."""
    if _current is None:
        raise RuntimeError("this job runs only on a worker node")
    return _current
