"""The overflow in RQ: one job for each session that fits nowhere, for people to see.

SQL says who waits and since when; the queue shows it beside all others. A job
leaves it when its session gets a place. What a Redis has lost comes back with
the next look.
"""

from __future__ import annotations

from collections.abc import Iterable

import redis
from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer

from afx.cluster import queues


class Overflow:
    """Keeps the RQ queue ``overflow`` as the overflow is."""

    def __init__(self, client: redis.Redis) -> None:
        """``client`` must not decode answers: RQ reads bytes."""
        self._redis = client
        self._queue = Queue(queues.OVERFLOW, connection=client, serializer=JSONSerializer)
        self._held: set[int] = set()

    def read(self) -> None:
        """Learn which jobs there are."""
        self._held = {number for it in self._queue.job_ids if (number := _session(it))}

    def put(self, waiting: Iterable[tuple[int, str, str]]) -> None:
        """Add sessions that wait, given as (session, tier, reason)."""
        jobs = []
        for session, tier, reason in waiting:
            if session not in self._held:
                self._held.add(session)
                jobs.append(
                    Queue.prepare_data(
                        queues.WAIT,
                        args=(session, tier, reason),
                        job_id=_job(session),
                        description=f"{tier} session {session} waits: {reason}",
                    )
                )
        if jobs:
            self._queue.enqueue_many(jobs)

    def remove(self, sessions: Iterable[int]) -> None:
        """Remove sessions that wait no longer."""
        gone = [it for it in sessions if it in self._held]
        if not gone:
            return
        self._held.difference_update(gone)
        pipe = self._redis.pipeline(transaction=False)
        for it in gone:
            pipe.lrem(self._queue.key, 0, _job(it))
            pipe.delete(Job.key_for(_job(it)))
        pipe.execute()

    def held(self) -> set[int]:
        """Return the sessions that have a job."""
        return self._held


def _job(session: int) -> str:
    return f"overflow-{session}"


def _session(job: str) -> int:
    number = job.rpartition("-")[2]
    return int(number) if number.isdecimal() else 0
