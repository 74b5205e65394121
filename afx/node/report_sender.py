"""Sends a host's reports to the coordinator, in order, and keeps them until Redis has them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import redis
import structlog

from afx.cluster import report_stream
from afx.cluster.reports import Active, Failed, Inventory, Report, Running, Stopped, Trouble
from afx.reasons import FailureReason, StopReason, TroubleReason

_GATHER_SECONDS = 0.02
_RETRY_SECONDS = 0.2
_MOST = 1_000
"""Reports in one entry of the stream."""
_LISTED = 1_000
"""Sessions in one report of an inventory."""

log = structlog.get_logger()


class ReportSender:
    """The reports of one incarnation of a node."""

    def __init__(self, client: Any, node: str, incarnation: str) -> None:
        self._redis = client
        self._node = node
        self._incarnation = incarnation
        self._ready = asyncio.Event()
        self._failing = False
        self.waiting: list[Report] = []
        """What Redis does not have yet."""

    def running(self, session_id: int, epoch: int) -> None:
        """Report that a session runs."""
        self._add(
            Running(
                node=self._node,
                incarnation=self._incarnation,
                session_id=session_id,
                epoch=epoch,
            )
        )

    def stopped(self, session_id: int, epoch: int, reason: StopReason) -> None:
        """Report that a session has stopped under an epoch."""
        self._add(
            Stopped(
                node=self._node,
                incarnation=self._incarnation,
                session_id=session_id,
                epoch=epoch,
                reason=reason,
            )
        )

    def failed(self, session_id: int, epoch: int, reason: FailureReason, text: str) -> None:
        """Report that a session has ended by itself."""
        self._add(
            Failed(
                node=self._node,
                incarnation=self._incarnation,
                session_id=session_id,
                epoch=epoch,
                reason=reason,
                text=text,
            )
        )

    def trouble(self, session_id: int, epoch: int, reason: TroubleReason, text: str) -> None:
        """Report what hinders a session that goes on."""
        self._add(
            Trouble(
                node=self._node,
                incarnation=self._incarnation,
                session_id=session_id,
                epoch=epoch,
                reason=reason,
                text=text,
            )
        )

    def active(self, session_ids: tuple[int, ...]) -> None:
        """Report which sessions have forwarded something lately."""
        self._add(Active(node=self._node, incarnation=self._incarnation, session_ids=session_ids))

    def inventory(self, term: int, sessions: Sequence[tuple[int, int]]) -> None:
        """Report all sessions that have not ended, as (session, epoch); asked in a term."""
        parts = [sessions[it : it + _LISTED] for it in range(0, len(sessions), _LISTED)] or [()]
        for index, part in enumerate(parts, start=1):
            self._add(
                Inventory(
                    node=self._node,
                    incarnation=self._incarnation,
                    term=term,
                    session_ids=tuple(session_id for session_id, _ in part),
                    epochs=tuple(epoch for _, epoch in part),
                    remaining=len(parts) - index,
                )
            )

    def _add(self, report: Report) -> None:
        self.waiting.append(report)
        self._ready.set()

    async def run(self) -> None:
        """Send reports as they come, for ever."""
        while True:
            await self._ready.wait()
            await asyncio.sleep(_GATHER_SECONDS if not self._failing else _RETRY_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Send what waits; what Redis does not take stays."""
        self._ready.clear()
        while self.waiting:
            part, self.waiting = self.waiting[:_MOST], self.waiting[_MOST:]
            try:
                await report_stream.publish_async(self._redis, part)
            except redis.RedisError as error:
                self.waiting = part + self.waiting
                self._ready.set()
                if not self._failing:
                    log.warning("reports_not_sent", count=len(self.waiting), reason=str(error))
                self._failing = True
                return
            except BaseException:
                self.waiting = part + self.waiting
                self._ready.set()
                raise
            self._failing = False
