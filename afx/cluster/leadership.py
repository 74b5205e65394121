"""Leadership: one coordinator acts at a time, the others stand by."""

from __future__ import annotations

import os
import socket
import threading
import uuid

import redis
import structlog

from afx import lease
from afx.cluster import keys
from afx.cluster.connection import connect
from afx.cluster.scripts import source
from afx.errors import FencedError

_RENEW_SECONDS = 1.0
log = structlog.get_logger()


class Leader:
    """Holds the leader's lease, renewed on a thread of its own.

    The thread has its own connection, so that a long tick cannot cost the
    leadership; and every act of the leader first asks ``check``.
    """

    def __init__(self, redis_url: str, ttl_seconds: float, stop_seconds: float) -> None:
        self._redis = connect(redis_url, timeout_seconds=2.0)
        self._lead = self._redis.register_script(source("lead"))
        self._resign = self._redis.register_script(source("resign"))
        self._holder = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:12]}"
        self._ttl_ms = int(ttl_seconds * 1000)
        self._stop_seconds = stop_seconds
        self._until = 0.0
        self._redis_run = ""
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self.term = 0

    def acquire(self, above: int = 0) -> bool:
        """Try to become the leader; False while another one is.

        The term is above ``above``, the highest that SQL knows: a Redis that has
        lost its data would begin anew at one.
        """
        self._redis_run = self._run_id()
        sent_at = lease.now()
        term = int(
            self._lead(keys=[keys.LEADER, keys.TERM], args=[self._holder, self._ttl_ms, 0, above])
        )
        if term < 0:
            return False
        self.term = term
        self._until = sent_at + self._stop_seconds
        self._ended.clear()
        self._thread = threading.Thread(target=self._keep, name="leader", daemon=True)
        self._thread.start()
        return True

    def check(self) -> None:
        """Raise FencedError when the leadership may have run out."""
        if lease.now() >= self._until:
            raise FencedError("This coordinator no longer leads.")

    def resign(self) -> None:
        """Give the leadership up, so that a standby need not wait."""
        self._ended.set()
        if self._thread:
            self._thread.join()
            self._thread = None
        self._until = 0.0
        try:
            self._resign(keys=[keys.LEADER], args=[self._holder])
        except redis.RedisError as error:
            log.warning("resign_failed", reason=str(error))

    def close(self) -> None:
        """Resign and disconnect."""
        if self._thread:
            self.resign()
        self._redis.close()

    def _run_id(self) -> str:
        return str(self._redis.info("server")["run_id"])

    def _keep(self) -> None:
        """Renew the leadership, of this Redis only.

        One that was restarted, or another that took its place, may have lost what
        was written last, the leadership not included: whoever leads there must
        begin anew. A connection that is opened again does not tell.
        """
        while not self._ended.wait(_RENEW_SECONDS):
            sent_at = lease.now()
            try:
                term = int(
                    self._lead(
                        keys=[keys.LEADER, keys.TERM],
                        args=[self._holder, self._ttl_ms, self.term, 0],
                    )
                )
                same = self._run_id() == self._redis_run
            except redis.RedisError as error:
                log.warning("leader_renewal_failed", reason=str(error))
                continue
            if term != self.term or not same:
                self._until = 0.0
                return
            self._until = sent_at + self._stop_seconds
