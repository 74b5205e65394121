"""Leadership: one coordinator leads at a time, the others stand by."""

from __future__ import annotations

import os
import socket
import threading
import uuid
from dataclasses import dataclass

import redis

from afx.clock import Clock
from afx.cluster import fields, keys
from afx.cluster.connection import connect
from afx.cluster.scripts import source
from afx.errors import FencedError
from afx.logs import logger

_RENEW_SECONDS = 1.0


@dataclass(slots=True, frozen=True)
class LeaderRecord:
    """The coordinator that leads, as Redis has it."""

    hostname: str
    pid: int | None
    """None when the record has none that can be read."""
    term: int

    @property
    def name(self) -> str:
        """``hostname:pid``."""
        return self.hostname if self.pid is None else f"{self.hostname}:{self.pid}"


def read_leader(client: redis.Redis) -> LeaderRecord | None:
    """Return the coordinator that leads, or None."""
    holder, term = client.mget(keys.LEADER, keys.TERM)
    if not holder:
        return None
    hostname, pid = _parse_holder(str(holder))
    return LeaderRecord(hostname, pid, fields.integer(term) or 0)


def new_holder() -> str:
    """Return a holder of the leadership that no other process has used."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:12]}"


class LeaderElection:
    """Tries to become the leader, again and again."""

    def __init__(
        self,
        redis_url: str,
        *,
        holder: str,
        ttl_seconds: float,
        stop_seconds: float,
        tick_limit_seconds: float,
        clock: Clock,
    ) -> None:
        """``holder`` identifies this process; see ``new_holder``.

        A leader that notes no progress for ``tick_limit_seconds`` is not renewed any more.
        """
        hostname, pid = _parse_holder(holder)
        self.name = LeaderRecord(hostname, pid, 0).name
        """``hostname:pid``."""
        self._redis = connect(redis_url, timeout_seconds=2.0)
        self._lease = _LeaderLease(self._redis, holder, int(ttl_seconds * 1000))
        self._stop_seconds = stop_seconds
        self._tick_limit_seconds = tick_limit_seconds
        self._clock = clock

    def is_vacant(self) -> bool:
        """Return whether no other coordinator leads now."""
        return self._lease.is_free()

    def acquire(self, above: int = 0) -> Leadership | None:
        """Begin a term of leadership; None while another coordinator leads.

        The term is above ``above``, the highest that SQL knows: a Redis that has
        lost its data would begin with term 1 again.
        """
        run_id = self._lease.run_id()
        sent_at = self._clock.boottime()
        term = self._lease.take(above)
        if term is None:
            return None
        return Leadership(
            self._lease,
            term=term,
            run_id=run_id,
            until=sent_at + self._stop_seconds,
            stop_seconds=self._stop_seconds,
            tick_limit_seconds=self._tick_limit_seconds,
            clock=self._clock,
        )

    def close(self) -> None:
        """Disconnect; a leadership must have been resigned before."""
        self._redis.close()


class Leadership:
    """One term of leadership, renewed on a thread of its own.

    The thread has its own connection, so that a slow tick does not cost the leadership.
    It renews only while the leader makes progress: one that hangs does not lead. Every
    effect of the leader first calls ``check``.
    """

    def __init__(
        self,
        lease: _LeaderLease,
        *,
        term: int,
        run_id: str,
        until: float,
        stop_seconds: float,
        tick_limit_seconds: float,
        clock: Clock,
    ) -> None:
        """``run_id`` is that of the Redis where the term began, ``until`` boot time."""
        self.term = term
        self.run_id = run_id
        self.commits = 0
        """How many transactions of leaders SQL had committed after the last one of this term."""
        self._lease = lease
        self._until = until
        self._stop_seconds = stop_seconds
        self._tick_limit_seconds = tick_limit_seconds
        self._clock = clock
        self._progress_at = clock.boottime()
        """When the leader last said that it does not hang."""
        self._hang_logged = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="leader", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise FencedError when the leadership may have expired."""
        if self._clock.boottime() >= self._until:
            raise FencedError(
                f"The leadership of term {self.term} has expired; this coordinator stands by."
            )

    def note_progress(self) -> None:
        """Note that a part of a tick has ended: the leader does not hang."""
        self._progress_at = self._clock.boottime()

    def resign(self) -> None:
        """End the term, so that a standby need not wait for the lease to expire."""
        self._ended.set()
        self._thread.join()
        self._until = 0.0
        try:
            self._lease.release()
        except redis.RedisError as error:
            logger().warning("resign_failed", term=self.term, reason=str(error))

    def _renew(self) -> None:
        """Renew the lease, in the Redis where the term began only.

        One that was restarted, or a replica that replaced it, may have lost the
        last writes, the leadership included; then a new term has to begin. A
        connection that is opened again does not show it, the run id does.
        """
        while not self._ended.wait(_RENEW_SECONDS):
            sent_at = self._clock.boottime()
            if self._hangs(sent_at):
                continue
            try:
                renewed = self._lease.renew(self.term) and self._lease.run_id() == self.run_id
            except redis.RedisError as error:
                logger().warning("leader_renewal_failed", term=self.term, reason=str(error))
                continue
            if not renewed:
                self._until = 0.0
                return
            self._until = sent_at + self._stop_seconds

    def _hangs(self, now: float) -> bool:
        """Return whether a part of a tick has not ended in time; says so once.

        Without renewal the leadership expires: a standby takes over, and what the leader
        does when it wakes up is refused.
        """
        seconds = now - self._progress_at
        if seconds <= self._tick_limit_seconds:
            self._hang_logged = False
            return False
        if not self._hang_logged:
            self._hang_logged = True
            logger().error("leader_hangs", term=self.term, seconds=round(seconds, 1))
        return True


class _LeaderLease:
    """The leader's keys in Redis, for one holder."""

    def __init__(self, client: redis.Redis, holder: str, ttl_ms: int) -> None:
        self._redis = client
        self._lead = client.register_script(source("lead"))
        self._resign = client.register_script(source("resign"))
        self._holder = holder
        self._ttl_ms = ttl_ms

    def take(self, above: int) -> int | None:
        """Begin a term above another one; None while another coordinator leads."""
        term = self._call(0, above)
        return term if term > 0 else None

    def renew(self, term: int) -> bool:
        """Renew the lease of a term; False when it has ended."""
        return self._call(term, 0) == term

    def is_free(self) -> bool:
        return self._redis.get(keys.LEADER) in (None, self._holder)

    def release(self) -> None:
        self._resign(keys=[keys.LEADER], args=[self._holder])

    def run_id(self) -> str:
        """Return the id that a Redis server has from its start to its end."""
        return str(self._redis.info("server")["run_id"])

    def _call(self, term: int, above: int) -> int:
        return int(
            self._lead(
                keys=[keys.LEADER, keys.TERM], args=[self._holder, self._ttl_ms, term, above]
            )
        )


def _parse_holder(holder: str) -> tuple[str, int | None]:
    """Return (hostname, pid) of ``hostname:pid:token``; a hostname may contain colons."""
    head, _, _token = holder.rpartition(":")
    hostname, _, pid = head.rpartition(":")
    number = fields.integer(pid, limit=fields.INT32_LIMIT)
    return (hostname, number) if hostname and number is not None else (holder, None)
