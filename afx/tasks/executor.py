"""Runs a node's tasks on the host's loop: many at once, without forking.

RQ's tools see it as one of RQ's workers (``rq_records.py``). Nothing of a job is resolved
before the gate has admitted it (``job_gate.py``).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import structlog

from afx.cluster import refused_jobs
from afx.cluster.job_gate import JobGate, JobKind, is_job_id
from afx.cluster.refused_jobs import RefusalReason, RefusedJob, RefusedJobError
from afx.cluster.reports import (
    RESULT_LIMIT,
    TaskEnded,
    TaskLogged,
    TaskProgressed,
    TaskStarted,
)
from afx.cluster.task_jobs import (
    ANY_NODE,
    PRIORITIES,
    SESSION_TASKS,
    TASK_PURPOSE,
    job_kind,
    parse_task,
)
from afx.errors import SecretError
from afx.reasons import TaskOutcome
from afx.security.signing import SigningKeys
from afx.security.vault import Vault
from afx.tasks.kinds import KINDS
from afx.tasks.kinds.base import Kind
from afx.tasks.outcomes import Ending, ending_of
from afx.tasks.rq_records import (
    EndedJob,
    FetchedJob,
    TaskRecords,
    WorkerEndedError,
    WrongClockError,
)
from afx.tasks.run import Run
from afx.tasks.slots import room_by_priority
from afx.tasks.turns import Turns

_IDLE_SECONDS = 5.0
"""How often queues are looked at without being woken."""
_BEAT_SECONDS = 10.0
_RETRY_SECONDS = 0.2
_GATHER_SECONDS = 0.005
_AT_ONCE = 20
"""Jobs of one fetch: an answer of 50 takes the loop for long enough to delay a message."""
log = structlog.get_logger()


class Reports(Protocol):
    """Where the executor reports to."""

    def task_started(self, report: TaskStarted) -> None:
        """Report that a task runs."""

    def task_progressed(self, report: TaskProgressed) -> None:
        """Report how far a task is."""

    def task_logged(self, report: TaskLogged) -> None:
        """Report a line that a task logs."""

    def task_ended(self, report: TaskEnded) -> None:
        """Report that a run of a task has ended."""


class Trouble(Protocol):
    """Notes what hinders the use of Redis."""

    def failed(self, work: str, error: BaseException) -> None:
        """Some work has failed."""

    def passed(self, work: str) -> None:
        """Some work has succeeded."""


class TaskExecutor:
    """The tasks of one incarnation of a node."""

    def __init__(
        self,
        client: Any,
        *,
        node: str,
        incarnation: str,
        vault: Vault,
        reports: Reports,
        trouble: Trouble,
        session: Callable[[int], Any],
        may_take: Callable[[], bool],
        slots: int,
        exports: Path,
        wall_clock: Callable[[], float] = time.time,
        arrivals: Callable[[], int] = lambda: 0,
        kinds: Iterable[Kind] = tuple(KINDS.values()),
    ) -> None:
        """``session`` returns a session that runs here, or None.

        ``may_take`` says whether tasks may be taken now; ``slots`` is how many run at once,
        ``exports`` the directory of files that tasks write. ``arrivals`` counts the messages
        that have arrived from Telegram: forwarding has the loop first.
        """
        self._redis = client
        self._origin = {"node": node, "incarnation": incarnation}
        self._records = TaskRecords(client, node, incarnation, wall_clock)
        self._vault = vault
        self._reports = reports
        self._trouble = trouble
        self._session = session
        self._exports = exports
        self._may_take = may_take
        self._slots = slots
        self._clock = wall_clock
        self._kinds = {job_kind(it.name): it for it in kinds}
        self._gate = JobGate(
            keys=SigningKeys(vault.signing_keys()),
            purpose=TASK_PURPOSE,
            audience=incarnation,
            also_for=frozenset({ANY_NODE}),
            kinds=dict.fromkeys(self._kinds, JobKind(dict, lambda _: None)),
            clock=wall_clock,
        )
        self._turns = Turns(arrivals, time.monotonic)
        self._wake = asyncio.Event()
        self._running: dict[tuple[int, int], Run] = {}
        """(task, publication) → its run, also of those that wait for their session's others."""
        self._counts = [0] * len(PRIORITIES)
        self._by_session: dict[int, int] = {}
        self._waiting: dict[int, deque[Run]] = {}
        """session → runs that wait until others of it have ended."""
        self._ended: list[EndedJob] = []
        self._something_ended = asyncio.Event()
        self._closing = False
        self._beginning = False
        """Jobs that were fetched are being begun."""
        self._done = 0
        self._failed = 0

    # --- what others ask for --------------------------------------------------------

    def wake(self) -> None:
        """Look for jobs now."""
        self._wake.set()

    def cancel(self, tasks: Iterable[tuple[int, int]]) -> None:
        """Cancel runs, given as (task, publication)."""
        for key in tasks:
            if run := self._running.get(key):
                self._stop(run, TaskOutcome.CANCELLED)

    def not_running(self, tasks: Iterable[tuple[int, int]]) -> dict[int, int]:
        """Return those of some tasks, given as (task, publication), of which nothing runs here."""
        running = {task for task, _ in self._running}
        return {task: number for task, number in sorted(tasks) if task not in running}

    def release_session(self, session_id: int) -> None:
        """Stop the tasks of a session that ends here; they go on where it runs next."""
        for run in [it for it in self._running.values() if it.job.session_id == session_id]:
            self._stop(run, TaskOutcome.MOVED)

    @property
    def running(self) -> int:
        """How many tasks this node has taken and not ended."""
        return len(self._running)

    async def close(self) -> None:
        """Take no more, stop what runs, and note it all."""
        self._closing = True
        while self._beginning:  # noqa: ASYNC110  what was fetched is given back, too
            await asyncio.sleep(0)
        for run in list(self._running.values()):
            self._stop(run, TaskOutcome.MOVED)
        tasks = [it.task for it in self._running.values() if it.task]
        if tasks:
            await asyncio.wait(tasks, timeout=1.0)
        with contextlib.suppress(Exception):  # Redis may be away; all of it expires
            await self._flush_ended()
            await self._records.leave()

    # --- all the time -----------------------------------------------------------------

    def loops(self) -> list[Coroutine[Any, Any, None]]:
        """Return what takes and runs jobs, for ever: the caller owns the asyncio tasks.

        They are no group: a call of Redis that is cancelled may raise a timeout instead,
        so that one cancel may not be enough.
        """
        return [self._every(it) for it in (self._take, self._flush_when_ended, self._beat)]

    async def _every(self, step: Callable[[], Awaitable[None]]) -> None:
        """Repeat a step; whatever it meets must not end the host."""
        work = f"tasks {step.__name__.strip('_')}"
        while True:
            try:
                await step()
                self._trouble.passed(work)
            except Exception as error:
                self._trouble.failed(work, error)
                await asyncio.sleep(_RETRY_SECONDS)

    async def _beat(self) -> None:
        running = [(it.queue, it.job_id) for it in self._running.values()]
        await self._records.beat(running, self._done, self._failed)
        await asyncio.sleep(_BEAT_SECONDS)

    async def _take(self) -> None:
        """Take jobs while there are some and room; then wait to be woken."""
        self._wake.clear()
        # A lease that is late, or a record that Redis has lost, is a matter of a moment.
        wait = _IDLE_SECONDS if self._may_take() else _RETRY_SECONDS
        while self._may_take() and not self._closing:
            room, most = room_by_priority(self._slots, self._counts)
            if not room:
                break
            try:
                jobs = await self._records.fetch(min(room, _AT_ONCE), most)
            except WorkerEndedError:
                wait = _RETRY_SECONDS
                break
            except WrongClockError:
                log.error("clock_wrong", text="This node's clock is wrong; it takes no tasks.")
                break
            if not jobs:
                break
            self._beginning = True
            try:
                await self._begin_all(jobs)
            finally:
                self._beginning = False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await self._wake.wait()

    async def _begin_all(self, jobs: Sequence[FetchedJob]) -> None:
        refused: list[RefusedJob] = []
        for it in jobs:
            # What was begun runs in the next turn of the loop.
            if not self._closing:
                await self._turns.next()
            try:
                self._begin(it)
            except RefusedJobError as error:
                refused.append(self._refuse(it, error.reason, str(error)))
            except Exception as error:
                text = f"The job cannot be read ({type(error).__name__})."
                refused.append(self._refuse(it, RefusalReason.FORM, text))
        if refused:
            await refused_jobs.record_async(self._redis, refused)

    def _begin(self, fetched: FetchedJob) -> None:
        """Verify a job, and run it; raises RefusedJobError."""
        if fetched.sealed is None:
            raise RefusedJobError(RefusalReason.FIELDS, fetched.refusal)
        if not is_job_id(fetched.job_id):
            raise RefusedJobError(RefusalReason.JOB_ID, "The job's id is malformed.")
        envelope = self._gate.admit(fetched.job_id, fetched.sealed).envelope
        kind = self._kinds[envelope.kind]
        try:
            job = parse_task(envelope.job_id, envelope.arguments)
            run = Run(
                job,
                fetched.job_id,
                kind,
                queue=fetched.queue,
                priority=fetched.priority,
                node=self._origin["node"],
                exports=self._exports,
                progressed=self._progressed,
                logged=self._logged,
            )
        except ValueError as error:
            raise RefusedJobError(RefusalReason.ARGUMENTS, str(error)) from error
        self._running[job.task_id, job.publication] = run
        self._counts[run.priority] += 1
        if job.session_id and self._by_session.get(job.session_id, 0) >= SESSION_TASKS:
            self._waiting.setdefault(job.session_id, deque()).append(run)
        else:
            self._start(run)

    def _refuse(self, fetched: FetchedJob, reason: RefusalReason, text: str) -> RefusedJob:
        log.warning("job_refused", job_id=fetched.job_id[:100], reason=reason, text=text)
        if is_job_id(fetched.job_id):
            self._note_ended(EndedJob(fetched.queue, fetched.job_id, "", "gone"))
        return RefusedJob(fetched.queue, fetched.job_id, reason, text, node=self._origin["node"])

    # --- one run ------------------------------------------------------------------------

    def _start(self, run: Run) -> None:
        session_id = run.job.session_id
        if session_id:
            self._by_session[session_id] = self._by_session.get(session_id, 0) + 1
        run.task = asyncio.get_running_loop().create_task(self._execute(run))
        # A callback, since a task that is cancelled at once does not run at all.
        run.task.add_done_callback(partial(self._finished, run))

    async def _execute(self, run: Run) -> None:
        run.started_at = int(self._clock() * 1000)
        ending = await self._ending(run)
        self._end(run, ending)

    async def _ending(self, run: Run) -> Ending:
        """Run a task's coroutine, and return how it ended."""
        try:
            if run.job.session_id:
                session = self._session(run.job.session_id)
                if session is None:
                    return Ending(TaskOutcome.MOVED, "Its session does not run on this node.")
                run.use(session)
            text = run.job.input
            if not text.startswith("{"):
                text = self._vault.open_arguments(text, kind=run.kind.name)
            arguments = run.kind.arguments.model_validate_json(text)
            self._reports.task_started(
                TaskStarted(
                    **self._origin,
                    task_id=run.job.task_id,
                    publication=run.job.publication,
                    started_at=run.started_at,
                )
            )
            async with asyncio.timeout(run.job.timeout_seconds):
                result = await run.kind.run(run, arguments)
            text = result.model_dump_json()
        except TimeoutError:
            return Ending(
                TaskOutcome.TRY_AGAIN,
                f"It took longer than its time-out of {run.job.timeout_seconds} s.",
            )
        except SecretError as error:
            return Ending(TaskOutcome.FAILED, str(error))
        except Exception as error:
            return ending_of(error)
        if len(text) > RESULT_LIMIT:
            return Ending(TaskOutcome.FAILED, "The task's result is too long; split the task.")
        return Ending(TaskOutcome.SUCCEEDED, result=text)

    def _finished(self, run: Run, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            self._end(run, Ending(run.stop_reason or TaskOutcome.MOVED))
        elif error := task.exception():
            log.error("task_run_failed", task=run.job_id, error=repr(error))
            self._end(run, ending_of(error))

    def _stop(self, run: Run, reason: TaskOutcome) -> None:
        if run.task is None:
            self._waiting[run.job.session_id].remove(run)
            self._end(run, Ending(reason))
        else:
            run.stop(reason)

    def _end(self, run: Run, ending: Ending) -> None:
        """Report how a run ended, and give its room to others; only the first end counts."""
        key = (run.job.task_id, run.job.publication)
        if self._running.pop(key, None) is None:
            return
        self._counts[run.priority] -= 1
        self._reports.task_ended(
            TaskEnded(
                **self._origin,
                task_id=run.job.task_id,
                publication=run.job.publication,
                outcome=ending.outcome,
                started_at=run.started_at,
                ended_at=int(self._clock() * 1000),
                pause=int(min(ending.pause_seconds, 29 * 86_400) * 1000),
                result=ending.result,
                text=ending.text,
            )
        )
        succeeded = ending.outcome is TaskOutcome.SUCCEEDED
        failed = ending.outcome in (TaskOutcome.FAILED, TaskOutcome.TRY_AGAIN)
        self._done += succeeded
        self._failed += failed
        status = "finished" if succeeded else "failed" if failed else "gone"
        self._note_ended(EndedJob(run.queue, run.job_id, job_kind(run.kind.name), status))
        if run.task is not None and run.job.session_id:
            self._free_session(run.job.session_id)
        if not self._running or len(self._running) < self._slots // 2:
            self._wake.set()

    def _free_session(self, session_id: int) -> None:
        left = self._by_session[session_id] - 1
        if left:
            self._by_session[session_id] = left
        else:
            del self._by_session[session_id]
        waiting = self._waiting.get(session_id)
        if waiting:
            self._start(waiting.popleft())
        if not waiting:
            self._waiting.pop(session_id, None)

    def _progressed(self, run: Run, share: float, cursor: str) -> None:
        self._reports.task_progressed(
            TaskProgressed(
                **self._origin,
                task_id=run.job.task_id,
                publication=run.job.publication,
                thousandths=int(min(1.0, max(0.0, share)) * 1000),
                cursor=cursor,
            )
        )

    def _logged(self, run: Run, text: str) -> None:
        self._reports.task_logged(
            TaskLogged(
                **self._origin,
                task_id=run.job.task_id,
                publication=run.job.publication,
                logged_at=int(self._clock() * 1000),
                text=text,
            )
        )

    # --- RQ's records ---------------------------------------------------------------------

    def _note_ended(self, ended: EndedJob) -> None:
        self._ended.append(ended)
        self._something_ended.set()

    async def _flush_when_ended(self) -> None:
        await self._something_ended.wait()
        await asyncio.sleep(_GATHER_SECONDS)
        await self._flush_ended()

    async def _flush_ended(self) -> None:
        """Note in RQ's records what has ended; for people: lost ones expire."""
        while self._ended:
            part, self._ended = self._ended[:_AT_ONCE], self._ended[_AT_ONCE:]
            await self._records.finish(part)
        self._something_ended.clear()
