"""Repairs what a crash left between SQL, Redis and the nodes: no task is lost, or stays started.

SQL says which tasks were given out. Each of them must be in its queue, or with a node that
is alive; a task of a session, with the node that runs it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

import redis
import structlog

from afx.cluster.leadership import Leadership
from afx.cluster.scripts import FencedScript
from afx.cluster.task_jobs import job_id, node_queue, shared_queue
from afx.cluster.worker_records import ENDED_STATES, WorkerView
from afx.coordinator.assignments import AssignmentTable
from afx.coordinator.decisions.task_endings import RunEnd
from afx.coordinator.ended_replays import EndedReplays
from afx.coordinator.fencing import fenced_transaction
from afx.coordinator.interval import Interval
from afx.coordinator.orders import Orders
from afx.coordinator.task_intake import TaskIntake
from afx.coordinator.task_publisher import LATE
from models.base import utc_now
from models.storage import task_logs, task_queue
from models.storage.task_queue import Ended, OpenTask

_SECONDS = 0.5
_PAGE = 2_000
_GONE_SECONDS = 10.0
"""A node that Redis does not know for so long is dead: Redis may have been restarted."""
_LOOK_AFTER = timedelta(seconds=1)
"""A published job is looked for in Redis after so long."""
_START_WITHIN = timedelta(seconds=30)
"""A node that took a job reports its start within so long."""
_IN_QUEUE_AFTER = timedelta(seconds=10)
"""The job of a task that has waited for so long is looked for in its queue too."""
_QUEUED_AT_MOST = timedelta(seconds=240)
"""Then the job is signed anew: it is valid for a time only."""
_GRACE = timedelta(seconds=60)
"""A task that runs for so long beyond its time-out is lost."""
log = structlog.get_logger()


class TaskReconciler:
    """Compares the tasks that were given out, page by page, with what is there."""

    def __init__(
        self,
        client: redis.Redis,
        leadership: Leadership,
        table: AssignmentTable,
        orders: Orders,
        intake: TaskIntake,
        *,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        """``client`` must decode answers."""
        self._redis = client
        self._leadership = leadership
        self._table = table
        self._orders = orders
        self._intake = intake
        self._now = now
        self._interval = Interval(_SECONDS)
        self._withdraw = FencedScript(client, "withdraw_tasks")
        self._beyond = 0
        self._missing_since: dict[str, float] = {}
        self._ended_replays = EndedReplays(table, orders, now)

    def step(self, nodes: Sequence[WorkerView], now: float) -> None:
        """Check one page, when it is due; ``nodes`` are all that Redis knows."""
        if not self._interval.is_due(now):
            return
        self._cancel_late()
        self._ended_replays.step(now)
        tasks = task_queue.given_out(self._beyond, _PAGE)
        self._beyond = tasks[-1].id if len(tasks) == _PAGE else 0
        if not tasks:
            self._missing_since.clear()
            return
        live = {it.incarnation for it in nodes if it.state not in ENDED_STATES}
        ended = {it.incarnation for it in nodes if it.state in ENDED_STATES}
        current = {it.name: it.incarnation for it in nodes}
        # A name is registered again only when its last incarnation has ended.
        ended |= {
            it.incarnation
            for it in tasks
            if current.get(it.worker, it.incarnation) != it.incarnation
        }
        dead = self._dead({it.incarnation for it in tasks if it.incarnation}, live, ended, now)
        lost = [(it, RunEnd.NODE_DIED) for it in tasks if self._is_lost(it, dead)]
        lost_ids = {it.id for it, _ in lost}
        rest = [it for it in tasks if it.id not in lost_ids]
        misplaced = [it for it in rest if self._is_misplaced(it)]
        lost += self._withdrawn([*misplaced, *self._out_of_queue(rest)])
        lost += self._lost_in_redis([it for it in rest if self._is_due(it)], live)
        self._note(lost)
        self._cancel(rest)

    def _cancel_late(self) -> None:
        """Cancel what has not started before its deadline: it may wait for a paused session."""
        now = self._now()
        if task_queue.has_late(now):
            with fenced_transaction(self._leadership):
                task_queue.cancel_late(now, LATE)

    def _dead(
        self, incarnations: Collection[str], live: set[str], ended: set[str], now: float
    ) -> set[str]:
        """Return the incarnations that are dead: fenced, gone, or unknown for long."""
        missing = {it for it in incarnations if it not in live}
        self._missing_since = {it: self._missing_since.get(it, now) for it in missing}
        return {
            it
            for it, since in self._missing_since.items()
            if it in ended or now - since >= _GONE_SECONDS
        }

    def _is_lost(self, task: OpenTask, dead: Collection[str]) -> bool:
        """Return whether a task's node is dead, or has not reported its end for too long."""
        if task.incarnation and task.incarnation in dead:
            return True
        if task.state != "running" or task.started_at is None:
            return False
        limit = timedelta(seconds=task.timeout_seconds) + _GRACE
        return self._now() - task.started_at > limit

    def _is_misplaced(self, task: OpenTask) -> bool:
        """Return whether a published task has to be taken back from its queue."""
        if task.state != "published":
            return False
        if task.is_stopping or task.is_late(self._now()) or self._age(task) > _QUEUED_AT_MOST:
            return True
        if not task.is_for_session:
            return False
        active = None if task.session is None else self._table.active.get(task.session)
        return active is None or (active.incarnation, active.state) != (task.incarnation, "running")

    def _is_due(self, task: OpenTask) -> bool:
        return task.state == "published" and self._age(task) >= _LOOK_AFTER

    def _age(self, task: OpenTask) -> timedelta:
        return self._now() - task.published_at if task.published_at else _QUEUED_AT_MOST

    def _withdrawn(self, tasks: Sequence[OpenTask]) -> list[tuple[OpenTask, RunEnd]]:
        """Take tasks back from their queues; those that a node has taken stay with it."""
        if not tasks:
            return []
        args = [part for it in tasks for part in (_queue(it), job_id(it.id, it.publication))]
        answers = self._withdraw(self._leadership.term, args=args)
        return [
            (it, RunEnd.NOT_RUN)
            for it, answer in zip(tasks, answers, strict=True)
            if answer == "withdrawn"
        ]

    def _out_of_queue(self, tasks: Sequence[OpenTask]) -> list[OpenTask]:
        """Return tasks whose queue does not have them: Redis may have lost a queue alone.

        A node that has just taken one keeps it, since withdrawing asks for that.
        """
        old = [it for it in tasks if it.state == "published" and self._age(it) >= _IN_QUEUE_AFTER]
        queues = list({_queue(it) for it in old})
        pipe = self._redis.pipeline(transaction=False)
        for name in queues:
            pipe.lrange(f"rq:queue:{name}", 0, -1)
        found: list[Any] = pipe.execute(raise_on_error=False) if queues else []
        present = {
            (queue, job)
            for queue, jobs in zip(queues, found, strict=True)
            for job in (jobs if isinstance(jobs, list) else ())
        }
        return [it for it in old if (_queue(it), job_id(it.id, it.publication)) not in present]

    def _lost_in_redis(
        self, tasks: Sequence[OpenTask], live: Collection[str]
    ) -> list[tuple[OpenTask, RunEnd]]:
        """Return published tasks whose jobs Redis has lost, or a dead node has taken."""
        pipe = self._redis.pipeline(transaction=False)
        for it in tasks:
            pipe.hmget(f"rq:job:{job_id(it.id, it.publication)}", "status", "worker_name")
        found: list[Any] = pipe.execute(raise_on_error=False) if tasks else []
        lost = []
        for it, answer in zip(tasks, found, strict=True):
            status, worker = answer if isinstance(answer, list) else (None, None)
            if status is None:
                lost.append((it, RunEnd.NOT_RUN))
            elif worker is not None:
                taken_by_the_living = any(worker.endswith(f"-{one}-tasks") for one in live)
                if not taken_by_the_living:
                    if self._age(it) >= timedelta(seconds=_GONE_SECONDS) or live:
                        lost.append((it, RunEnd.NODE_DIED))
                elif self._age(it) >= _START_WITHIN:
                    lost.append((it, RunEnd.NOT_RUN))
        return lost

    def _note(self, lost: Sequence[tuple[OpenTask, RunEnd]]) -> None:
        if not lost:
            return
        rows = []
        lines = []
        for it, end in {it.id: (it, end) for it, end in lost}.values():
            if end is RunEnd.NODE_DIED:
                text = f"the run on {it.worker or 'a node'} was lost: the node died"
                lines.append((it.id, it.publication, self._now(), text))
            after = self._intake.after(end, it.standing)
            rows.append(
                Ended(
                    it.id,
                    it.publication,
                    after.state,
                    error="its node died" if end is RunEnd.NODE_DIED else "",
                    worker=it.worker if after.is_final else "",
                    incarnation=it.incarnation if after.is_final else "",
                    finished_at=self._now() if after.is_final else None,
                    attempts=after.attempts,
                )
            )
        with fenced_transaction(self._leadership):
            task_queue.note_ended(rows)
            task_logs.append(lines)
            task_queue.release_of_sessions({it.session: 1 for it, _ in lost if it.session})
        log.info("tasks_given_out_again", count=len(rows))

    def _cancel(self, tasks: Sequence[OpenTask]) -> None:
        """Order the nodes to end what somebody has asked to cancel or pause, until it has ended."""
        by_node: dict[tuple[str, str], list[tuple[int, int]]] = {}
        for it in tasks:
            if it.is_stopping and it.state == "running":
                by_node.setdefault((it.worker, it.incarnation), []).append((it.id, it.publication))
        for (node, incarnation), ids in by_node.items():
            self._orders.cancel_tasks(node, incarnation, ids)


def _queue(task: OpenTask) -> str:
    if task.incarnation:
        return node_queue(task.worker, task.incarnation, task.priority)
    return shared_queue(task.priority)
