"""A worker of tasks in RQ's records: what it takes, what it runs, that it is alive.

RQ's own worker runs one job at a time and blocks a connection. This one shares the host's
asyncio client; what it does to many jobs costs one round trip.
"""

from __future__ import annotations

import json
import os
import socket
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from hashlib import sha1
from typing import Any

from redis.exceptions import NoScriptError
from rq.worker_registration import REDIS_WORKER_KEYS, WORKERS_BY_QUEUE_KEY

from afx.cluster import keys
from afx.cluster.job_envelope import SEALED_LIMIT, SIGNATURE_LIMIT, SealedJob
from afx.cluster.scripts import source
from afx.cluster.signed_job import FAILURE_TTL_SECONDS, RESULT_TTL_SECONDS, UNSIGNED_FIELDS
from afx.cluster.task_jobs import PRIORITIES, node_queue, shared_queue

EXECUTION_SECONDS = 60
"""RQ forgets an execution without a heartbeat after so long; the worker, too."""
_ALLOWED = f",{','.join(sorted(UNSIGNED_FIELDS))},"
_ENDED_STATUSES = {"finished": RESULT_TTL_SECONDS, "failed": FAILURE_TTL_SECONDS}


class WorkerEndedError(Exception):
    """Redis says that this incarnation was fenced or replaced: it gets no tasks."""


class WrongClockError(Exception):
    """This node's clock differs from the leader's by minutes: it gets no tasks."""


@dataclass(slots=True, frozen=True)
class FetchedJob:
    """A job that was taken from a queue; nothing of it is trusted yet."""

    queue: str
    priority: int
    job_id: str
    sealed: SealedJob | None
    """None when Redis has refused to hand it over; ``refusal`` says why."""
    refusal: str = ""


@dataclass(slots=True, frozen=True)
class EndedJob:
    """A job that this worker is done with."""

    queue: str
    job_id: str
    kind: str
    status: str
    """``finished``, ``failed``, or ``gone``: nothing is kept of it."""


class TaskRecords:
    """The records of one incarnation's worker of tasks."""

    def __init__(
        self, client: Any, node: str, incarnation: str, clock: Callable[[], float]
    ) -> None:
        """``client`` is the host's; ``clock`` the wall clock."""
        self._redis = client
        self._node = node
        self._incarnation = incarnation
        self._clock = clock
        self._born = clock()
        self.name = worker_name(node, incarnation)
        self._executions = f"rq:worker:{self.name}:executions"
        self._queues = [
            (name, priority)
            for priority in range(len(PRIORITIES))
            for name in (node_queue(node, incarnation, priority), shared_queue(priority))
        ]
        self._fetch = _Script("fetch_tasks")
        self._finish = _Script("finish_tasks")

    async def fetch(self, room: int, most: Sequence[int]) -> list[FetchedJob]:
        """Take ``room`` jobs at most, and so many of each queue of a priority.

        The first priority comes first, and the node's own queue before the shared one.

        Raises WorkerEndedError when this incarnation was fenced or replaced, and
        WrongClockError.
        """
        now = self._clock()
        shares = [most[priority] for _, priority in self._queues]
        answers = await self._fetch(
            self._redis,
            [
                keys.worker(self._node),
                self._executions,
                *(f"rq:queue:{name}" for name, _ in self._queues),
            ],
            [
                self._incarnation,
                self.name,
                rq_time(now),
                f"{now:.3f}",
                EXECUTION_SECONDS,
                SEALED_LIMIT,
                SIGNATURE_LIMIT,
                _ALLOWED,
                room,
                *shares,
            ],
        )
        found = []
        for answer in answers:
            if answer[0] == b"ENDED":
                raise WorkerEndedError
            if answer[0] == b"CLOCK":
                raise WrongClockError
            queue, priority = self._queues[int(answer[0]) - 1]
            job_id, what = answer[1].decode(errors="replace"), answer[2]
            if what == b"ok":
                sealed = SealedJob(answer[3], answer[4])
                found.append(FetchedJob(queue, priority, job_id, sealed))
            elif what == b"refused":
                text = answer[3].decode(errors="replace")
                found.append(FetchedJob(queue, priority, job_id, None, text))
        return found

    async def finish(self, jobs: Sequence[EndedJob]) -> None:
        """Note that jobs have ended."""
        now = self._clock()
        flat: list[Any] = []
        for it in jobs:
            flat += (it.queue, it.job_id, it.status, _ENDED_STATUSES.get(it.status, 1))
            flat.append(_bare_call(it.kind))
        await self._finish(self._redis, [self._executions], [rq_time(now), f"{now:.3f}", *flat])

    async def beat(self, running: Sequence[tuple[str, str]], done: int, failed: int) -> None:
        """Show RQ that this worker is alive, and what it runs, as (queue, job id)."""
        now = self._clock()
        key = f"rq:worker:{self.name}"
        pipe = self._redis.pipeline(transaction=False)
        fields = {
            "birth": rq_time(self._born),
            "last_heartbeat": rq_time(now),
            "queues": ",".join(name for name, _ in self._queues),
            "state": "busy" if running else "idle",
            "pid": os.getpid(),
            "hostname": socket.gethostname(),
            "successful_job_count": done,
            "failed_job_count": failed,
            "current_job": running[-1][1] if running else "",
        }
        pipe.hset(key, mapping=fields)
        pipe.expire(key, EXECUTION_SECONDS)
        pipe.sadd(REDIS_WORKER_KEYS, key)
        for name, _ in self._queues:
            pipe.sadd(WORKERS_BY_QUEUE_KEY % name, key)
            # Nothing else removes it once this incarnation and its queue are gone.
            pipe.expire(WORKERS_BY_QUEUE_KEY % name, FAILURE_TTL_SECONDS)
        for queue, job_id in running:
            execution = f"{job_id}:1"
            pipe.hset(f"rq:execution:{execution}", "last_heartbeat", f"{now:.3f}")
            pipe.expire(f"rq:execution:{execution}", EXECUTION_SECONDS)
            pipe.zadd(f"rq:wip:{queue}", {execution: now + EXECUTION_SECONDS}, xx=True)
            pipe.expire(f"rq:job:{job_id}", FAILURE_TTL_SECONDS)
        pipe.expire(self._executions, EXECUTION_SECONDS)
        # A key of another type is repaired by the leader; the tasks run all the same.
        await pipe.execute(raise_on_error=False)

    async def leave(self) -> None:
        """Take this worker out of RQ's records."""
        key = f"rq:worker:{self.name}"
        pipe = self._redis.pipeline(transaction=False)
        pipe.delete(key, self._executions)
        pipe.srem(REDIS_WORKER_KEYS, key)
        for name, _ in self._queues:
            pipe.srem(WORKERS_BY_QUEUE_KEY % name, key)
        await pipe.execute(raise_on_error=False)


class _Script:
    """A script whose answers are not decoded: what is in them may be anything."""

    def __init__(self, name: str) -> None:
        self._text = source(name)
        self._digest = sha1(self._text.encode(), usedforsecurity=False).hexdigest()

    async def __call__(self, client: Any, names: Sequence[str], values: Sequence[Any]) -> Any:
        call = ("EVALSHA", self._digest, len(names), *names, *values)
        try:
            return await client.execute_command(*call, NEVER_DECODE=True)
        except NoScriptError:
            await client.script_load(self._text)
            return await client.execute_command(*call, NEVER_DECODE=True)


def worker_name(node: str, incarnation: str) -> str:
    """Return RQ's name of the worker of tasks of an incarnation."""
    return f"{node}-{incarnation}-tasks"


def rq_time(seconds: float) -> str:
    """Return a time as RQ writes it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@cache
def _bare_call(kind: str) -> bytes:
    """Return what is shown of a job that has ended: its kind, without its arguments."""
    return zlib.compress(json.dumps([kind, None, [], {}]).encode())
