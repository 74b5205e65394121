"""A run of a task that replays, without an executor."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from afx.empty import NOTHING
from afx.node import backfilling
from afx.node.backfill_state import Range
from afx.node.session import HostedSession
from afx.tasks.kinds.base import SnoozeError, TryAgainError


class ReplayRun:
    """What the kind uses of a run of task 1."""

    def __init__(
        self, session: HostedSession, *, task: int = 1, cursor: Mapping[str, Any] | None = None
    ) -> None:
        self._session = session
        self.task_id = task
        self.rules = session.spec.rules
        self.cursor: Mapping[str, Any] = cursor or {}
        self.shares: list[float] = []
        self.is_cancelled = False

    async def call(self, request: Any) -> Any:
        return await self._session.client(request)

    async def backfill(
        self,
        rule: int,
        destinations: Sequence[int],
        wanted: Sequence[tuple[int, int, int, int]],
        counts: tuple[int, int],
        newest: Mapping[int, Callable[[], Awaitable[int]]] = NOTHING,
    ) -> Any:
        ranges = [Range(*it) for it in wanted]
        order = backfilling.Order(self.task_id, rule, destinations, ranges, *counts, newest)
        try:
            found = await backfilling.backfill(self._session, order)
        except backfilling.BusyError as error:
            raise SnoozeError(1.0, str(error)) from error
        except backfilling.NotUsedError as error:
            raise TryAgainError("not used") from error
        if found is None:
            raise TryAgainError("moved")
        return found

    async def end_backfill(self) -> Any:
        return await backfilling.end(self._session, self.task_id)

    async def save(self, share: float, cursor: Mapping[str, Any]) -> None:
        self.shares.append(share)
        self.cursor = dict(cursor)

    async def sleep(self, _: float) -> None:
        await asyncio.sleep(0.01)

    def log(self, text: str) -> None:
        pass
