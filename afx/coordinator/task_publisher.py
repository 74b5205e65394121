"""Gives queued tasks to Redis: from SQL, in fair shares, to where their sessions run.

Redis has a window of the queue only: what is behind it stays in SQL, where each user's next
task is found at once, however many others have queued.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import uuid4

import redis

from afx.cluster import queues
from afx.cluster.job_envelope import SEALED_LIMIT, JobEnvelope, seal_envelope
from afx.cluster.leadership import Leadership
from afx.cluster.scripts import FencedScript
from afx.cluster.task_jobs import (
    ANY_NODE,
    PRIORITIES,
    SESSION_TASKS,
    TASK_PURPOSE,
    TaskJob,
    encode_task,
    job_id,
    job_kind,
    node_queue,
    shared_queue,
)
from afx.cluster.worker_records import WorkerView
from afx.coordinator.assignments import AssignmentTable
from afx.coordinator.decisions.task_shares import Turn, shares
from afx.coordinator.fencing import fenced_transaction
from afx.security.signing import SigningKeys
from models.base import utc_now
from models.storage import task_queue
from models.storage.task_queue import OpenTask, Publication

LATE = "it did not start before its deadline"
JOB_SECONDS = 600
"""How long a published job is valid."""
_WINDOW_PER_NODE = 400
_JOBS_PER_CALL = 50
"""Redis serves no other client during a call, so a call is short."""
_MOST_WOKEN = 8
_LOOK_AGAIN_SECONDS = 60.0
_AT_ONCE = 100
"""Tasks of one transaction: one that is submitted meanwhile to the first queue waits for it."""
_TIMES_PER_STEP = 2
_IDLE_SECONDS = 10.0
"""A node looks at its queues this often without being woken, at the latest."""


@dataclass(slots=True)
class _Plan:
    """What becomes of queued tasks."""

    published: list[tuple[OpenTask, Publication]] = field(default_factory=list)
    held: list[int] = field(default_factory=list)
    """They wait until their session runs, or has ended others."""
    late: list[int] = field(default_factory=list)
    orphaned: list[int] = field(default_factory=list)
    awaited: set[int] = field(default_factory=set)
    """The sessions that do not run, for which tasks are held."""
    given_out: Counter[int] = field(default_factory=Counter)
    """session → its tasks that are given out."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing changes."""
        return not (self.published or self.held or self.late or self.orphaned)


class TaskPublisher:
    """Publishes tasks in one term of leadership."""

    def __init__(
        self,
        client: redis.Redis,
        keys: SigningKeys,
        leadership: Leadership,
        table: AssignmentTable,
        *,
        clock: Callable[[], float] = time.time,
        new_id: Callable[[], str] = lambda: uuid4().hex,
    ) -> None:
        """``clock`` is the wall clock."""
        self._keys = keys
        self._leadership = leadership
        self._table = table
        self._clock = clock
        self._new_id = new_id
        self._publish = FencedScript(client, "publish_tasks")
        self._turns = [Turn()] * len(PRIORITIES)
        self._nodes: list[WorkerView] = []
        self._next_woken = 0
        self._shared_at = -math.inf
        """When tasks for any node were published last, by the wall clock."""
        self._looked_at = 0.0
        self._awaited: set[int] = set()

    def take_awaited(self) -> set[int]:
        """Return the sessions that do not run and for which tasks were held since the last call."""
        awaited, self._awaited = self._awaited, set()
        return awaited

    def note_nodes(self, nodes: Sequence[WorkerView]) -> None:
        """Note which nodes are alive; new ones are told of tasks that came before them."""
        known = {it.incarnation for it in self._nodes}
        self._nodes = [it for it in nodes if it.state in ("ready", "cordoned")]
        if self._clock() - self._shared_at < _IDLE_SECONDS:
            new = [it for it in self._nodes if it.incarnation not in known]
            self._give([], [queues.node(it.name, it.incarnation) for it in new[:_MOST_WOKEN]])

    def step(self, now: float) -> int:
        """Publish what may run now; returns how many tasks were.

        Queue after queue, in parts; the first queue has its turn before each part of the
        others.
        """
        if not self._looked_at or now - self._looked_at >= _LOOK_AGAIN_SECONDS:
            # Events queue the tasks of sessions; this is for events that an earlier
            # leader had, and was not able to act on.
            self._looked_at = now
            self._release_of_sessions()
        if task_queue.has_due(utc_now()):
            with fenced_transaction(self._leadership):
                task_queue.release_due(utc_now())
        if not task_queue.has_queued():
            return 0
        count = 0
        for priority in range(len(PRIORITIES)):
            for _ in range(_TIMES_PER_STEP):
                count += self._publish_some(0) if priority else 0
                part = self._publish_some(priority)
                count += part
                if part < _AT_ONCE:
                    break
        return count

    def _release_of_sessions(self) -> None:
        """Queue what waits for sessions that run, or that were removed."""
        waited_for = task_queue.sessions_waited_for()
        if not waited_for:
            return
        active = self._table.active
        runs = [it for it in waited_for if it in active and active[it].state == "running"]
        with fenced_transaction(self._leadership):
            task_queue.release_of_sessions(dict.fromkeys(runs, SESSION_TASKS))
            if 0 in waited_for:
                task_queue.release_of_removed_sessions()

    def _publish_some(self, priority: int) -> int:
        """Publish a part of one queue, in fair shares; returns how many tasks."""
        users = task_queue.users_waiting(priority)
        if not users:
            return 0
        window = _WINDOW_PER_NODE * max(1, len(self._nodes))
        room = min(_AT_ONCE, window - task_queue.published_counts().get(priority, 0))
        weights = task_queue.task_shares(users)
        served, self._turns[priority] = shares(users, weights, room, self._turns[priority])
        plan = _Plan()
        for user, most in served:
            self._sort(task_queue.oldest(priority, user, most), plan)
        if plan.is_empty:
            return 0
        with fenced_transaction(self._leadership):
            ids = task_queue.publish([it for _, it in plan.published], utc_now())
            task_queue.hold(plan.held)
            task_queue.fail_queued(plan.late, "cancelled", LATE)
            task_queue.fail_queued(plan.orphaned, "failed", "its session was removed")
        self._awaited |= plan.awaited
        self._send([it for it in plan.published if it[0].id in ids])
        return len(ids)

    def _sort(self, tasks: Sequence[OpenTask], plan: _Plan) -> None:
        """Tell tasks that can run now from those that wait, or end."""
        sessions = {it.session for it in tasks if it.session is not None} - plan.given_out.keys()
        plan.given_out.update(task_queue.given_out_by_session(sorted(sessions)))
        now = utc_now()
        for it in tasks:
            number = it.publication + 1
            if it.is_late(now):
                plan.late.append(it.id)
            elif it.is_for_session and it.session is None:
                plan.orphaned.append(it.id)
            elif it.session is None:
                plan.published.append((it, Publication(it.id, number)))
            else:
                active = self._table.active.get(it.session)
                if (
                    active is None
                    or active.state != "running"
                    or plan.given_out[it.session] >= SESSION_TASKS
                ):
                    plan.held.append(it.id)
                    if active is None or active.state != "running":
                        plan.awaited.add(it.session)
                else:
                    plan.given_out[it.session] += 1
                    publication = Publication(it.id, number, active.worker, active.incarnation)
                    plan.published.append((it, publication))

    # --- Redis ------------------------------------------------------------------------

    def _send(self, published: Sequence[tuple[OpenTask, Publication]]) -> None:
        """Put the jobs into their queues; what is lost here, the reconciler finds."""
        for start in range(0, len(published), _JOBS_PER_CALL):
            part = published[start : start + _JOBS_PER_CALL]
            now = self._clock()
            flat: list[str | int] = []
            for task, publication in part:
                flat += self._job(task, publication, now)
            if any(not it.incarnation for _, it in part):
                self._shared_at = now
            self._give(flat, self._woken([it for _, it in part]))

    def _give(self, flat: Sequence[str | int], woken: Sequence[str]) -> None:
        """Put jobs, each of six values, into their queues, and wake nodes by their queues."""
        if not flat and not woken:
            return
        now = self._clock()
        at = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        values = [at, JOB_SECONDS + 300, len(flat) // 6, f"{now:.3f}", *flat, *woken]
        self._publish(self._leadership.term, args=values)

    def _job(self, task: OpenTask, publication: Publication, now: float) -> list[str | int]:
        to_node = bool(publication.incarnation)
        envelope = JobEnvelope(
            purpose=TASK_PURPOSE,
            audience=publication.incarnation if to_node else ANY_NODE,
            job_id=job_id(task.id, publication.number),
            kind=job_kind(task.kind),
            arguments=encode_task(
                TaskJob(
                    task_id=task.id,
                    publication=publication.number,
                    session_id=task.session or 0,
                    attempt=task.attempts + 1,
                    timeout_seconds=task.timeout_seconds,
                    input=task.arguments,
                    cursor=task.cursor,
                )
            ),
            issued=now,
            expires=now + JOB_SECONDS,
            nonce=self._new_id(),
        )
        sealed = seal_envelope(self._keys, envelope)
        queue = (
            node_queue(publication.worker, publication.incarnation, task.priority)
            if to_node
            else shared_queue(task.priority)
        )
        assert len(sealed.data) <= SEALED_LIMIT
        text = f"task {task.id}: {task.kind}"
        return [queue, envelope.job_id, sealed.data, sealed.signature, text, task.timeout_seconds]  # type: ignore[list-item]

    def _woken(self, published: Sequence[Publication]) -> list[str]:
        """Return the control queues of the nodes that have something to do."""
        targets = {(it.worker, it.incarnation) for it in published if it.incarnation}
        shared = sum(not it.incarnation for it in published)
        for _ in range(min(shared, _MOST_WOKEN, len(self._nodes))):
            self._next_woken = (self._next_woken + 1) % len(self._nodes)
            node = self._nodes[self._next_woken]
            targets.add((node.name, node.incarnation))
        return [queues.node(*it) for it in sorted(targets)]
