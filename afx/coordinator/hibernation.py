"""Hibernation: sessions that need no live connection sleep, and wake when they have to.

SQL says which sessions hibernate, so a new leader goes on. To wake a session is to let it be
placed as any other one that waits; to let it sleep is to let it be stopped as any other one
that should not run. Nothing here starts or stops a session.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta

from afx.cluster.leadership import Leadership
from afx.cluster.reports import CaughtUp
from afx.cluster.worker_records import WorkerView
from afx.config import Settings
from afx.coordinator.assignments import AssignmentTable
from afx.coordinator.capacity import Capacity
from afx.coordinator.decisions import hibernation as decisions
from afx.coordinator.decisions.hibernation import AwakeSession, Times
from afx.coordinator.fencing import fenced_transaction
from afx.coordinator.idle_sessions import IdleSessions
from afx.coordinator.interval import Interval
from afx.coordinator.placement_schedule import PlacementSchedule
from models.storage import hibernation
from models.storage.hibernation import Awake

_INTERVAL_SECONDS = 0.25
_DUE_SECONDS = 1.0
"""To find what is due takes long when an outage has left many that are."""
_WOKEN_AT_ONCE = 500
_MOST_STARTING = 1000
"""While so many have just woken and do not run yet, no more wake by schedule."""
_MOST_WAITING = 5000
"""While so many are awake that no node has, for however long, no more wake by schedule."""
_WAITED = timedelta(minutes=10)
"""Then those sleep again that have found no node for so long."""
_ASK_SECONDS = 10.0
_MOST_ASK_SECONDS = 160.0
_TASKS_SECONDS = 60.0
_BOUND_SECONDS = 30.0
_SLACK = timedelta(minutes=1)
"""By so much the clocks of two machines may differ."""
_STARTING = timedelta(minutes=1)


class Hibernation:
    """Which sessions hibernate, in one term of leadership."""

    def __init__(
        self,
        settings: Settings,
        leadership: Leadership,
        table: AssignmentTable,
        schedule: PlacementSchedule,
        capacity: Capacity,
        *,
        rng: random.Random,
        clock: Callable[[], float],
    ) -> None:
        """``clock`` is the wall clock: SQL says when sessions wake."""
        self._times = Times.from_settings(settings)
        self._leadership = leadership
        self._table = table
        self._schedule = schedule
        self._rng = rng
        self._clock = clock
        self._interval = Interval(_INTERVAL_SECONDS)
        self._due_interval = Interval(_DUE_SECONDS)
        self._bound_interval = Interval(_BOUND_SECONDS)
        self._tasks_interval = Interval(_TASKS_SECONDS)
        self._idle = IdleSessions(settings, leadership, capacity, rng=rng, clock=clock)
        self._awake: frozenset[int] = frozenset()
        """The sessions that were awake for a short time at the last step."""
        self._asked: frozenset[int] = frozenset()
        self._caught_up: dict[int, int] = {}
        """session → the epoch under which it has caught up."""
        self._runs_since: dict[int, tuple[int, float]] = {}
        """session that is awake and runs → its epoch, and when it was first seen to run."""
        self._asked_at: dict[int, tuple[float, float]] = {}
        """session that is awake and runs → when its node was last asked, or could have been,
        and after how many seconds it is asked again."""

    def note_caught_up(self, report: CaughtUp) -> None:
        """Note which sessions have worked off what they had missed."""
        self._caught_up.update(zip(report.session_ids, report.epochs, strict=False))

    def step(self, nodes: Sequence[WorkerView], awaited: Collection[int], now: float) -> None:
        """Wake the sessions that are due, and let those sleep that are done.

        ``awaited`` are sessions without a node that tasks wait for.
        """
        if awaited:
            self._wake_for_tasks(hibernation.wakeable(sorted(awaited)), now)
        if not self._interval.is_due(now):
            return
        awake = hibernation.awake()
        self._note_running(awake, now)
        self._sleep(awake, now)
        if self._due_interval.is_due(now):
            self._ask_again(awake, now)
            self._note_awake(awake, now)
            self._wake_due(awake, now)
        if self._tasks_interval.is_due(now):
            # What an earlier leader was told of, and could not act on.
            self._wake_for_tasks(hibernation.awaited_by_tasks(_WOKEN_AT_ONCE), now)
        self._idle.step(nodes, now)

    # --- waking -----------------------------------------------------------------------

    def place_soon(self, asked: Collection[int], now: float) -> None:
        """Let sessions that operators have woken be placed before the next full round.

        ``asked`` are all for which that is not done; each is hurried once.
        """
        self._schedule.note_woken(set(asked) - self._asked, now)
        self._asked = frozenset(asked)

    def _wake_for_tasks(self, ids: Sequence[int], now: float) -> None:
        if ids:
            with fenced_transaction(self._leadership):
                hibernation.wake_for_tasks(ids, self._utc_now())
            self._schedule.note_woken(ids, now)

    def _wake_due(self, awake: Sequence[Awake], now: float) -> None:
        """Wake what is due by schedule: as many as are likely to be placed soon.

        One that has not been placed for long has no room, or fails; it keeps no other asleep.
        """
        at = self._utc_now()
        waiting = [it for it in awake if it.session not in self._table.active]
        if len(waiting) >= _MOST_WAITING:
            self._let_sleep([it for it in waiting if at - it.awake_at >= _WAITED])
            return
        starting = sum(at - it.awake_at < _STARTING for it in waiting)
        most = min(_WOKEN_AT_ONCE, max(0, _MOST_STARTING - starting))
        if not most:
            return
        due = hibernation.due(at, most)
        if self._bound_interval.is_due(now):
            poll, longest = (
                timedelta(seconds=it) for it in (self._times.poll, self._times.longest)
            )
            due += hibernation.beyond_bound(at + _SLACK, poll, longest, most)
        if due:
            with fenced_transaction(self._leadership):
                hibernation.wake(due, at)
            self._schedule.note_woken(due, now)

    def _note_awake(self, awake: Sequence[Awake], now: float) -> None:
        """Let sessions that changes of rules have woken be placed soon, too."""
        ids = frozenset(it.session for it in awake)
        woken = [it for it in ids - self._awake if it not in self._table.active]
        self._schedule.note_woken(woken, now)
        self._awake = ids

    # --- asleep again -----------------------------------------------------------------

    def _note_running(self, awake: Sequence[Awake], now: float) -> None:
        """Note since when sessions run: one may have waited long for its node, or a login."""
        before, active = self._runs_since, self._table.active
        self._runs_since = {}
        for it in awake:
            found = active.get(it.session)
            if found is not None and found.state == "running":
                last = before.get(it.session)
                since = last[1] if last is not None and last[0] == found.epoch else now
                self._runs_since[it.session] = (found.epoch, since)

    def _sleep(self, awake: Sequence[Awake], now: float) -> None:
        """Let the sessions sleep again that have caught up, and have nothing else to do."""
        ids = {it.session for it in awake}
        self._caught_up = {k: v for k, v in self._caught_up.items() if k in ids}
        states = {it.session: decisions.next_state(self._seen(it, now)) for it in awake}
        done = [it for it in awake if states[it.session] != "wait"]
        self._let_sleep(done, stay={k for k, state in states.items() if state == "stay"})

    def _let_sleep(self, done: Sequence[Awake], stay: Collection[int] = ()) -> None:
        """Let sessions sleep that have no tasks, except those that are to stay awake."""
        busy = hibernation.with_tasks([it.session for it in done]) if done else set()
        done = [it for it in done if it.session not in busy]
        if not done:
            return
        at = self._utc_now()
        rows = [
            (it.session, it.revision, at + timedelta(seconds=self._sleep_seconds(it)))
            for it in done
            if it.session not in stay
        ]
        with fenced_transaction(self._leadership):
            hibernation.sleep(rows)
            hibernation.end([it.session for it in done if it.session in stay])

    def _ask_again(self, awake: Sequence[Awake], now: float) -> None:
        """Let nodes say once more which of their sessions have caught up.

        The report was lost, or came when nobody waited for it: the session was never stopped.
        """
        active = self._table.active
        waiting = [
            it.session
            for it in awake
            if it.session in active
            and active[it.session].state == "running"
            and self._caught_up.get(it.session) != active[it.session].epoch
        ]
        self._asked_at = {it: self._asked_at.get(it, (now, _ASK_SECONDS)) for it in waiting}
        late = [it for it, (at, pause) in self._asked_at.items() if now - at >= pause]
        if late:
            for it in late:
                pause = min(2 * self._asked_at[it][1], _MOST_ASK_SECONDS)
                self._asked_at[it] = (now, pause)
            self._table.resynchronise(late, now)

    def _seen(self, it: Awake, now: float) -> AwakeSession:
        active = self._table.active.get(it.session)
        return AwakeSession(
            session=it.session,
            reason=it.reason,
            runs=active is not None
            and active.state == "running"
            and active.revision >= it.revision,
            has_caught_up=active is not None and self._caught_up.get(it.session) == active.epoch,
            has_tasks=False,  # looked up for those that would sleep
            has_forwarded=it.active_at is not None and it.active_at >= it.awake_at,
            running_seconds=now - self._runs_since.get(it.session, (0, now))[1],
        )

    def _utc_now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

    def _sleep_seconds(self, it: Awake) -> float:
        chance = self._rng.random()
        return decisions.sleep_seconds(it.reason, self._times, chance, it.login_days)
