"""The overflow in RQ: one job for each session that no node has room for, for people to see.

SQL says which sessions wait and since when; the queue shows it beside all others. A job
leaves it when its session gets a place. What Redis has lost comes back when the sessions
are next considered.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from typing import Any
from uuid import uuid4

import redis
from rq import Queue
from rq.serializers import JSONSerializer

from afx.cluster import queues
from afx.cluster.job_envelope import JobEnvelope
from afx.cluster.signed_job import SignedJob
from afx.security.signing import SigningKeys

_PURPOSE = "overflow"
_JOB_ID = re.compile(rb"overflow-([1-9][0-9]{0,17})")
_READ_AT_ONCE = 5000


class Overflow:
    """Makes the RQ queue ``overflow`` show the sessions that wait."""

    def __init__(
        self,
        client: redis.Redis,
        keys: SigningKeys,
        *,
        clock: Callable[[], float] = time.time,
        new_id: Callable[[], str] = lambda: uuid4().hex,
    ) -> None:
        """``client`` must not decode answers: RQ reads bytes. ``clock`` is the wall clock."""
        self._redis = client
        self._keys = keys
        self._clock = clock
        self._new_id = new_id
        self._queue = Queue(
            queues.OVERFLOW, connection=client, job_class=SignedJob, serializer=JSONSerializer
        )
        self._session_ids: set[int] = set()

    def read(self) -> None:
        """Read which sessions have a job; removes entries that are none of ours."""
        found: set[int] = set()
        foreign: list[Any] = []
        begin = 0
        while entries := self._read_entries(begin):
            for entry in entries:
                match = _JOB_ID.fullmatch(entry)
                if match:
                    found.add(int(match[1]))
                else:
                    foreign.append(entry)
            begin += _READ_AT_ONCE
        for entry in foreign:
            self._redis.lrem(self._queue.key, 1, entry)
        self._session_ids = found

    def _read_entries(self, begin: int) -> list[Any]:
        return self._redis.lrange(self._queue.key, begin, begin + _READ_AT_ONCE - 1)

    def put(self, waiting: Iterable[tuple[int, str, str]]) -> None:
        """Add sessions that wait, given as (session, tier, reason)."""
        pipe = self._redis.pipeline()
        for session_id, tier, reason in waiting:
            if session_id not in self._session_ids:
                self._session_ids.add(session_id)
                self._queue.enqueue_job(self._job(session_id, tier, reason), pipeline=pipe)
        if len(pipe):
            pipe.execute()

    def remove(self, session_ids: Iterable[int]) -> None:
        """Remove sessions that wait no longer."""
        gone = [it for it in session_ids if it in self._session_ids]
        if not gone:
            return
        self._session_ids.difference_update(gone)
        pipe = self._redis.pipeline(transaction=False)
        for it in gone:
            pipe.lrem(self._queue.key, 0, _job_id(it))
            pipe.delete(SignedJob.key_for(_job_id(it)))
        pipe.execute()

    def session_ids(self) -> set[int]:
        """Return the sessions that have a job."""
        return self._session_ids

    def _job(self, session_id: int, tier: str, reason: str) -> SignedJob:
        now = self._clock()
        envelope = JobEnvelope(
            purpose=_PURPOSE,
            audience=queues.OVERFLOW,
            job_id=_job_id(session_id),
            kind=queues.WAIT,
            arguments={"session": session_id, "tier": tier, "reason": reason},
            issued=now,
            # It is there to be seen, and valid for no worker.
            expires=now,
            nonce=self._new_id(),
        )
        return SignedJob.sealed(
            self._redis,
            self._keys,
            envelope,
            description=f"{tier} session {session_id} waits: {reason}",
            ttl_seconds=None,
        )


def _job_id(session_id: int) -> str:
    return f"overflow-{session_id}"
