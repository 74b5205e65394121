"""Sends a host's reports to the coordinator, in order, and keeps them until Redis has them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from afx.cluster import report_stream, rule_counts
from afx.cluster.reports import (
    Active,
    CaughtUp,
    Failed,
    Inventory,
    LoginLimit,
    Report,
    RuleResumed,
    RuleStopped,
    Running,
    Stopped,
    TaskEnded,
    TaskLogged,
    TaskProgressed,
    TaskStarted,
    Trouble,
)
from afx.cluster.rule_counts import RuleTally
from afx.node.closed_routes import RuleTrouble
from afx.node.redis_trouble import RedisTrouble
from afx.reasons import FailureReason, StopReason, TroubleReason

_GATHER_SECONDS = 0.02
_RETRY_SECONDS = 0.2
_MOST = 1_000
"""Reports in one entry of the stream."""
_LISTED = 1_000
"""Sessions in one report of an inventory."""
_MOST_LOGS = 2_000
"""Lines of tasks that wait."""
_MOST_TROUBLES = 5_000
"""Reports of trouble that wait: a newer one of a session replaces an older one first."""


class ReportSender:
    """The reports of one incarnation of a node."""

    def __init__(self, client: Any, node: str, incarnation: str, trouble: RedisTrouble) -> None:
        self._redis = client
        self._origin = {"node": node, "incarnation": incarnation}
        self._ready = asyncio.Event()
        self._lock = asyncio.Lock()
        self._redis_trouble = trouble
        self._required: list[Report] = []
        """Reports that must not be lost, in their order."""
        self._troubles: dict[tuple[int, TroubleReason], Trouble] = {}
        self._active: set[int] = set()
        self._caught_up: dict[int, int] = {}
        """session → epoch."""
        self._tallies: dict[int, RuleTally] = {}
        """By rule."""
        self._task_starts: dict[tuple[int, int], TaskStarted] = {}
        self._task_progress: dict[tuple[int, int], TaskProgressed] = {}
        """What a task's end makes superfluous, by task and publication."""
        self._task_logs: deque[TaskLogged] = deque(maxlen=_MOST_LOGS)
        self._sending: list[Report] = []
        """What Redis has been given, and not yet taken."""

    def running(self, session_id: int, epoch: int) -> None:
        """Report that a session runs."""
        self._add(Running(**self._origin, session_id=session_id, epoch=epoch))

    def stopped(self, session_id: int, epoch: int, reason: StopReason, due: int = 0) -> None:
        """Report that a session has stopped under an epoch; ``due`` as in the report."""
        origin: dict[str, Any] = {**self._origin, "session_id": session_id, "epoch": epoch}
        self._add(Stopped(**origin, reason=reason, due=due))

    def failed(self, session_id: int, epoch: int, reason: FailureReason, text: str) -> None:
        """Report that a session has ended by itself."""
        self._add(
            Failed(**self._origin, session_id=session_id, epoch=epoch, reason=reason, text=text)
        )

    def trouble(self, session_id: int, epoch: int, reason: TroubleReason, text: str) -> None:
        """Report what hinders a session that goes on.

        While Redis takes no reports, the newest one of each session and reason waits, and
        only so many of them: each is about the present.
        """
        self._troubles.pop((session_id, reason), None)
        if len(self._troubles) >= _MOST_TROUBLES:
            del self._troubles[next(iter(self._troubles))]
        self._troubles[session_id, reason] = Trouble(
            **self._origin, session_id=session_id, epoch=epoch, reason=reason, text=text
        )
        self._ready.set()

    def rule(self, session_id: int, epoch: int, rule_id: int, trouble: RuleTrouble | None) -> None:
        """Report what is wrong with a rule; None: nothing is any more."""
        origin: dict[str, Any] = {**self._origin, "session_id": session_id, "epoch": epoch}
        if trouble is None:
            self._add(RuleResumed(**origin, rule_id=rule_id))
        else:
            reason, text = trouble.reason, trouble.text
            self._add(RuleStopped(**origin, rule_id=rule_id, reason=reason, text=text))

    def active(self, session_ids: tuple[int, ...]) -> None:
        """Report which sessions have forwarded something lately."""
        self._active.update(session_ids)
        self._ready.set()

    def rules_counted(self, tallies: Mapping[int, RuleTally]) -> None:
        """Report counts of rules; while Redis takes no reports, they are added up."""
        for rule, it in tallies.items():
            self._tallies.setdefault(rule, RuleTally()).add(it)
        if tallies:
            self._ready.set()

    def caught_up(self, sessions: Mapping[int, int]) -> None:
        """Report which sessions have worked off what they had missed, as session → epoch."""
        self._caught_up.update(sessions)
        self._ready.set()

    def login_limit(self, session_id: int, epoch: int, days: int) -> None:
        """Report after how many days without use a session's login ends."""
        self._add(LoginLimit(**self._origin, session_id=session_id, epoch=epoch, days=days))

    def task_started(self, report: TaskStarted) -> None:
        """Report that a task runs."""
        self._task_starts[report.task_id, report.publication] = report
        self._ready.set()

    def task_progressed(self, report: TaskProgressed) -> None:
        """Report how far a task is; the newest report of each task is sent."""
        self._task_progress[report.task_id, report.publication] = report
        self._ready.set()

    def task_logged(self, report: TaskLogged) -> None:
        """Report a line of a task; while Redis takes none, the newest ones wait."""
        self._task_logs.append(report)
        self._ready.set()

    def task_ended(self, report: TaskEnded) -> None:
        """Report that a run of a task has ended."""
        key = (report.task_id, report.publication)
        self._task_starts.pop(key, None)
        if progress := self._task_progress.pop(key, None):
            self._required.append(progress)  # its next attempt needs the cursor
        self._add(report)

    def inventory(self, term: int, sessions: Sequence[tuple[int, int]], *, proof: str = "") -> None:
        """Report all sessions that have not ended, as (session, epoch); asked in a term.

        ``proof`` is that of the newest generation that is known (``generation_proof``).
        """
        # An older one is superseded: the leader counts the parts of its own term only. One of a
        # newer term is not: whoever led before may have asked late.
        self._required = [
            it for it in self._required if not (isinstance(it, Inventory) and it.term <= term)
        ]
        parts = [sessions[it : it + _LISTED] for it in range(0, len(sessions), _LISTED)] or [()]
        for index, part in enumerate(parts, start=1):
            self._add(
                Inventory(
                    **self._origin,
                    term=term,
                    session_ids=tuple(session_id for session_id, _ in part),
                    epochs=tuple(epoch for _, epoch in part),
                    remaining=len(parts) - index,
                    proof=proof,
                )
            )

    @property
    def waiting(self) -> list[Report]:
        """What Redis does not have yet."""
        activity = Active(**self._origin, session_ids=tuple(self._active))
        waiting: list[Report] = [
            *self._sending,
            *self._task_starts.values(),
            *self._task_logs,
            *self._required,
            *self._task_progress.values(),
            *self._troubles.values(),
        ]
        if self._active:
            waiting.append(activity)
        if self._caught_up:
            ids, epochs = tuple(self._caught_up), tuple(self._caught_up.values())
            waiting.append(CaughtUp(**self._origin, session_ids=ids, epochs=epochs))
        waiting += rule_counts.reports_of(self._tallies, **self._origin)
        return waiting

    def _add(self, report: Report) -> None:
        self._required.append(report)
        self._ready.set()

    async def run(self) -> None:
        """Send reports as they come, for ever."""
        while True:
            await self._ready.wait()
            failing = self._redis_trouble.fault_in("report") is not None
            await asyncio.sleep(_RETRY_SECONDS if failing else _GATHER_SECONDS)
            await self.flush()

    async def flush_fully(self) -> None:
        """Send all that waits, until Redis has taken it; the caller bounds the time."""
        while not await self.flush():  # noqa: ASYNC110  it tries again
            await asyncio.sleep(_RETRY_SECONDS)

    async def flush(self) -> bool:
        """Send what waits; returns False when Redis did not take all: the rest stays."""
        async with self._lock:
            while self._sending or self._take():
                part = self._sending[:_MOST]
                try:
                    await report_stream.publish_async(self._redis, part)
                except Exception as error:
                    # Whatever it is, it must not end the host and all of its sessions.
                    self._redis_trouble.failed("report", error)
                    return False
                finally:
                    self._ready.set()
                self._sending = self._sending[_MOST:]
                self._redis_trouble.passed("report")
            self._ready.clear()
            return True

    def _take(self) -> bool:
        """Give all that waits a fixed order; returns whether there is any."""
        self._sending = self.waiting
        self._required = []
        self._troubles = {}
        self._active = set()
        self._caught_up = {}
        self._tallies = {}
        self._task_starts = {}
        self._task_progress = {}
        self._task_logs.clear()
        return bool(self._sending)
