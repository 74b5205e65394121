"""Submits the tasks of schedules at their times; a time is never submitted twice.

RQ's own cron scheduler puts jobs into Redis by the names of functions: it knows neither
signatures nor terms. What it uses to read cron expressions (croniter) is used here, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any

import structlog

from afx.cluster.leadership import Leadership
from afx.coordinator.decisions.schedule_times import decide, next_time
from afx.coordinator.fencing import fenced_transaction
from afx.coordinator.interval import Interval
from afx.errors import QuotaError
from models.base import utc_now
from models.storage import schedules, task_quotas, task_targets, tasks
from models.storage.tasks import NewTask

_SECONDS = 0.5
log = structlog.get_logger()


class TaskScheduler:
    """The schedules in one term of leadership."""

    def __init__(self, leadership: Leadership, *, now: Callable[[], datetime] = utc_now) -> None:
        self._leadership = leadership
        self._now = now
        self._interval = Interval(_SECONDS)

    def step(self, now: float) -> None:
        """Submit what is due; the tasks and the next time are written together."""
        if not self._interval.is_due(now):
            return
        for it in schedules.due(self._now()):
            with fenced_transaction(self._leadership):
                self._turn(it)

    def _turn(self, schedule: Any) -> None:
        now = self._now()
        turn = decide(
            at=schedule.next_at,
            now=now,
            states=frozenset(schedules.states_of_last(schedule)),
            overlap=schedule.overlap,
            catch_up=schedule.catch_up,
            failures=schedule.failures,
            pause_after=schedule.pause_after,
        )
        if turn.cancels_last:
            tasks.cancel_batch_or_one(schedule.batch_id, f"replaced by schedule {schedule.name}")
        changes: dict[str, Any] = {
            "next_at": next_time(schedule.cron, now),
            "note": turn.note,
            "failures": turn.failures,
            "paused": turn.pauses,
        }
        if turn.submits:
            changes |= _submit(schedule)
        schedules.advance(schedule, **changes)
        log.info("schedule_turn", schedule=schedule.name, submitted=turn.submits, note=turn.note)


def _submit(schedule: Any) -> dict[str, Any]:
    """Submit a schedule's tasks; returns what is noted of it."""
    new = _new_tasks(schedule)
    try:
        task_quotas.check(Counter(it.user for it in new))
    except QuotaError as error:
        return {"note": f"skipped: {error}"}
    ids = tasks.submit(new, f"schedule:{schedule.name}"[:100])
    if not ids:
        return {"batch_id": None, "note": "no session was there to do it for"}
    return {"batch_id": ids[0]}


def _new_tasks(schedule: Any) -> list[NewTask]:
    common = {
        "kind": schedule.kind,
        "arguments": schedule.arguments,
        "max_attempts": schedule.max_attempts,
        "timeout_seconds": schedule.timeout_seconds,
    }
    if schedule.sessions == []:
        return [NewTask(**common, user=schedule.user_id, priority=schedule.priority)]
    targets = (
        task_targets.of_user(schedule.user_id or None)
        if schedule.sessions is None
        else task_targets.of_sessions(schedule.sessions)
    )
    limit = schedule.user_id  # a session may belong to another user since
    return [
        NewTask(
            **common,
            session=it.session,
            user=it.user,
            priority=schedule.premium_priority if it.tier == "premium" else schedule.priority,
        )
        for it in targets
        if limit in (0, it.user)
    ]
