"""RQ's worker and queue, as a node uses them: what is not signed reaches neither.

Everything by which RQ lets Redis steer a worker is off: the command channel (shutdown,
stop a job), suspension, the scheduler, dependents, and the maintenance that reads jobs
of other writers.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

import redis
import structlog
from rq import Queue, SimpleWorker
from rq.exceptions import DequeueTimeout, StopRequested
from rq.serializers import JSONSerializer
from rq.timeouts import TimerDeathPenalty
from rq.utils import now
from rq.worker_registration import REDIS_WORKER_KEYS, WORKERS_BY_QUEUE_KEY

from afx.cluster import queues, refused_jobs
from afx.cluster.job_envelope import SEALED_LIMIT, SIGNATURE_LIMIT, SealedJob
from afx.cluster.job_gate import JobGate, is_job_id
from afx.cluster.refused_jobs import RefusalReason, RefusedJob, RefusedJobError
from afx.cluster.scripts import source
from afx.cluster.signed_job import FAILURE_TTL_SECONDS, UNSIGNED_FIELDS, SignedJob

WORKER_TTL_SECONDS = 25
_FIELDS_LIMIT = 40
_RECONNECT_SECONDS = 1.0
log = structlog.get_logger()


class OrderQueue(Queue):  # type: ignore[misc]
    """One incarnation's queue: gives out jobs that the gate admits, and refuses the others."""

    def __init__(
        self,
        name: str,
        *,
        connection: redis.Redis,
        gate: JobGate,
        node: str = "",
        is_stopping: Callable[[], bool] = lambda: False,
        on_answer: Callable[[], None] = lambda: None,
        on_wake: Callable[[], None] = lambda: None,
    ) -> None:
        """``connection`` must not decode answers: what is in them may be anything.

        ``node`` is the name of the node, under which refusals are counted.

        ``on_answer`` is called whenever Redis has answered a wait for jobs, ``on_wake`` when
        the answer is no job, but says that there are tasks.
        """
        super().__init__(
            name, connection=connection, job_class=SignedJob, serializer=JSONSerializer
        )
        self._gate = gate
        self._node = node
        self._is_stopping = is_stopping
        self._on_answer = on_answer
        self._on_wake = on_wake
        self._read_job = connection.register_script(source("read_job"))

    def prepare(self) -> None:
        """Make the queue usable: remove keys of a wrong type, put back what was not run.

        A job lies in the intermediate queue when its worker lost Redis after taking it.
        """
        lists = [self.key, self.intermediate_queue_key]
        sets = [REDIS_WORKER_KEYS, WORKERS_BY_QUEUE_KEY % self.name]
        expected = dict.fromkeys(lists, b"list") | dict.fromkeys(sets, b"set")
        expected |= dict.fromkeys(self._registry_keys(), b"zset")
        for key, kind in expected.items():
            if self.connection.type(key) not in (kind, b"none"):
                log.error("queue_key_of_wrong_type", key=key)
                self.connection.delete(key)
        for _ in range(self.connection.llen(self.intermediate_queue_key)):
            self.connection.lmove(self.intermediate_queue_key, self.key, "RIGHT", "LEFT")

    def prune(self) -> None:
        """Forget finished and failed jobs whose time is over, without reading them."""
        pipe = self.connection.pipeline(transaction=False)
        for key in self._registry_keys():
            pipe.zremrangebyscore(key, "-inf", time.time())
        pipe.execute()

    @classmethod
    def dequeue_any(
        cls, queues: list[OrderQueue], timeout: int | None, *_: Any, **__: Any
    ) -> tuple[SignedJob, OrderQueue]:
        """Return the next job that may run, and its queue; waits up to ``timeout`` seconds."""
        (queue,) = queues
        return queue.take(timeout or 1), queue

    def take(self, timeout: int) -> SignedJob:
        """Return the next job that may run; refuses those before it.

        Raises DequeueTimeout when none comes in time.
        """
        while True:
            entry = self.connection.blmove(self.key, self.intermediate_queue_key, timeout)
            self._on_answer()
            if self._is_stopping():
                raise StopRequested
            if entry is None:
                raise DequeueTimeout(timeout, [self.key])
            if entry == queues.WAKE:
                self._on_wake()
                self.connection.lrem(self.intermediate_queue_key, 1, entry)
                continue
            try:
                job = self._admit(entry)
            except RefusedJobError as error:
                self._refuse(entry, error)
                continue
            except redis.RedisError:
                raise  # it is put back; see ``prepare``
            except Exception as error:
                # Put back, it would be the next one again, for ever.
                text = f"The job cannot be read ({type(error).__name__})."
                self._refuse(entry, RefusedJobError(RefusalReason.FORM, text))
                continue
            if job is not None:
                return job
            self.connection.lrem(self.intermediate_queue_key, 1, entry)

    def _admit(self, entry: bytes) -> SignedJob | None:
        """Return the job of a queue's entry; None when its hash has expired."""
        job_id = entry[:100].decode(errors="replace")
        if not is_job_id(job_id):
            raise RefusedJobError(RefusalReason.JOB_ID, "The job's id is malformed.")
        status, *values = self._read_job(
            keys=[SignedJob.key_for(job_id)],
            args=[_FIELDS_LIMIT, SEALED_LIMIT, SIGNATURE_LIMIT],
        )
        if status == b"missing":
            return None
        if status == b"too large":
            raise RefusedJobError(RefusalReason.TOO_LARGE, "The job is too large.")
        if status != b"ok":
            raise RefusedJobError(RefusalReason.FORM, f"The job's key is {status.decode()}.")
        data, signature, *names = values
        unsigned = {it.decode(errors="replace") for it in names} - UNSIGNED_FIELDS
        if unsigned:
            text = f"No signature covers the fields {', '.join(sorted(unsigned))}."
            raise RefusedJobError(RefusalReason.FIELDS, text)
        sealed = SealedJob(data, signature)
        return SignedJob.admitted(
            self.connection, self.name, sealed, self._gate.admit(job_id, sealed)
        )

    def _refuse(self, entry: bytes, error: RefusedJobError) -> None:
        shown = entry[:100].decode(errors="replace")
        log.warning("job_refused", job_id=shown, reason=error.reason, text=str(error))
        pipe = self.connection.pipeline(transaction=False)
        pipe.lrem(self.intermediate_queue_key, 1, entry)
        if is_job_id(shown):
            # Not deleted: it may be another node's job, whose id was pushed here.
            pipe.expire(SignedJob.key_for(shown), FAILURE_TTL_SECONDS, nx=True)
        pipe.execute(raise_on_error=False)
        refused_jobs.record(
            self.connection,
            RefusedJob(self.name, shown, error.reason, str(error), node=self._node),
        )

    def _registry_keys(self) -> list[str]:
        registries = (
            self.started_job_registry,
            self.finished_job_registry,
            self.failed_job_registry,
        )
        return [it.key for it in registries]

    def move_dependents_to_ready(self, *_: Any, **__: Any) -> dict[str, list[str]]:
        """Return nothing: no job of ours has dependents."""
        return {}

    def enqueue_dependents(self, *_: Any, **__: Any) -> dict[str, list[str]]:
        """Return nothing: no job of ours has dependents."""
        return {}


class OrderWorker(SimpleWorker):  # type: ignore[misc]
    """An RQ worker off the main thread, which only its own process can stop."""

    death_penalty_class = TimerDeathPenalty
    queue_class = OrderQueue
    job_class = SignedJob
    max_connection_wait_time = _RECONNECT_SECONDS
    log_job_description = False

    def __init__(self, queue: OrderQueue, on_redis_error: Callable[[BaseException], None]) -> None:
        """``on_redis_error`` is called with each error that Redis answers."""
        super().__init__(
            [queue],
            connection=queue.connection,
            serializer=JSONSerializer,
            worker_ttl=WORKER_TTL_SECONDS,
        )
        self._queue = queue
        self._on_redis_error = on_redis_error

    def dequeue_job_and_maintain_ttl(self, *arguments: Any, **options: Any) -> Any:
        """Wait for a job as RQ does, which logs an error of Redis each time and quits."""
        try:
            return super().dequeue_job_and_maintain_ttl(*arguments, **options)
        except redis.RedisError as error:
            self._on_redis_error(error)
            raise StopRequested from error

    def prepare_job_execution(
        self, job: SignedJob, remove_from_intermediate_queue: bool = False
    ) -> None:
        """Note in Redis that a job is run; its record expires even if this process dies.

        The record is for people: the order is carried out even if Redis refuses it. The
        gate would not admit the job a second time.
        """
        try:
            super().prepare_job_execution(job, remove_from_intermediate_queue)
            self.connection.expire(job.key, FAILURE_TTL_SECONDS)
        except redis.RedisError as error:
            self._on_redis_error(error)
            with contextlib.suppress(redis.RedisError):
                self.connection.lrem(self._queue.intermediate_queue_key, 1, job.id)

    def execute_job(self, job: SignedJob, queue: OrderQueue) -> None:
        """Run a job; an error of Redis after it has run ends this worker, not the host."""
        try:
            super().execute_job(job, queue)
        except redis.RedisError as error:
            self._on_redis_error(error)
            raise StopRequested from error

    def run_maintenance_tasks(self) -> None:
        """Prune this queue's records, instead of RQ's reading of other writers' jobs."""
        self._queue.prune()
        self.last_cleaned_at = now()

    def subscribe(self) -> None:
        """Take no commands: whoever can publish could stop this worker."""

    def check_for_suspension(self, burst: bool) -> None:
        """Never suspend: a STOP that waits would delay the session's next node."""

    def procline(self, message: str) -> None:
        """Keep the process's title: the host's thread is not the whole process."""

    def _install_signal_handlers(self) -> None:
        """Leave signals to the host: only the main thread may handle them."""
