"""Writes to SQL what nodes report of tasks."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from afx.cluster.reports import Report, Running, TaskEnded, TaskLogged, TaskProgressed, TaskStarted
from afx.cluster.task_jobs import SESSION_TASKS
from afx.coordinator.decisions.task_endings import NextState, RunEnd, next_state
from afx.reasons import TaskOutcome
from models.base import utc_now
from models.storage import task_logs, task_queue
from models.storage.task_queue import Ended, Standing

_WHY = {TaskOutcome.MOVED: "its session left the node, or the node stopped"}


class TaskIntake:
    """Takes reports of tasks; a report of an earlier publication changes nothing."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def write(self, reports: Sequence[Report]) -> None:
        """Write what reports say, in the transaction that notes them as read."""
        started = [it for it in reports if isinstance(it, TaskStarted)]
        progressed = [it for it in reports if isinstance(it, TaskProgressed)]
        ended = [it for it in reports if isinstance(it, TaskEnded)]
        if started:
            task_queue.note_started(
                [
                    (it.task_id, it.publication, it.node, it.incarnation, _past(it.started_at))
                    for it in started
                ]
            )
        if progressed:
            task_queue.note_progress(
                [
                    (it.task_id, it.publication, it.thousandths / 1000, it.cursor)
                    for it in progressed
                ]
            )
        logged = [it for it in reports if isinstance(it, TaskLogged)]
        if logged:
            task_logs.append(
                [(it.task_id, it.publication, _past(it.logged_at), it.text) for it in logged]
            )
        if ended:
            self._write_ended(ended)
        running = {it.session_id: SESSION_TASKS for it in reports if isinstance(it, Running)}
        task_queue.release_of_sessions(running)

    def _write_ended(self, ended: Sequence[TaskEnded]) -> None:
        standings = task_queue.standings([it.task_id for it in ended])
        rows = []
        lines = []
        freed: Counter[int] = Counter()
        for it in ended:
            standing = standings.get(it.task_id)
            if standing is None or standing.publication != it.publication:
                continue
            row = self._row(it, standing)
            rows.append(row)
            if row.finished_at is None:
                lines.append((row.id, row.publication, utc_now(), _again(it, row)))
            if standing.session is not None:
                freed[standing.session] += 1
        task_queue.note_ended(rows)
        task_logs.append(lines)
        task_queue.release_of_sessions(freed)

    def _row(self, it: TaskEnded, standing: Standing) -> Ended:
        result = _json_or_none(it.result)
        end = RunEnd(it.outcome)
        if end is RunEnd.SUCCEEDED and result is None:
            end = RunEnd.FAILED
        after = self.after(end, standing, pause_seconds=it.pause / 1000)
        return Ended(
            it.task_id,
            it.publication,
            after.state,
            result=result if after.state == "succeeded" else None,
            error=it.text,
            worker=it.node,
            incarnation=it.incarnation,
            started_at=_past(it.started_at) if it.started_at else None,
            finished_at=utc_now() if after.is_final else None,
            run_after=None
            if after.is_final  # how long it waited is counted from then on
            else utc_now() + timedelta(seconds=after.pause_seconds),
            attempts=after.attempts,
        )

    def after(self, end: RunEnd, standing: Standing, *, pause_seconds: float = 0.0) -> NextState:
        """Return what becomes of a task."""
        return next_state(
            end,
            attempts=standing.attempts,
            max_attempts=standing.max_attempts,
            cancelling=standing.cancelling,
            pausing=standing.pausing,
            jitter=self._rng.random(),
            pause_seconds=pause_seconds,
        )


def _again(report: TaskEnded, row: Ended) -> str:
    """Return what is logged of a run after which the task goes on, now or when it is resumed."""
    if row.state == "paused":
        return f"the run on {report.node} has ended: the task is paused"
    why = report.text.rstrip(".") or _WHY.get(report.outcome, report.outcome)
    when = ""
    if row.run_after is not None:
        seconds = (row.run_after - utc_now()).total_seconds()
        when = f" in {seconds:.0f} s" if seconds >= 1 else ""
    return f"the run on {report.node} has ended: {why}; the next one follows{when}"


def _json_or_none(text: str) -> str | None:
    """Return a result if it is JSON: it comes from Redis, and is read by others from SQL."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return None
    return text


def _past(milliseconds: int) -> datetime:
    """Return a node's time; its clock may be minutes ahead."""
    return min(datetime.fromtimestamp(milliseconds / 1000, UTC), utc_now())
