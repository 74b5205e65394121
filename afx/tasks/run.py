"""One run of a task on a node: what its coroutine may use."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any

from telethon import errors

from afx.cluster.task_jobs import CURSOR_LIMIT, TaskJob, parse_cursor
from afx.reasons import TaskOutcome
from afx.tasks.kinds.base import Kind, TaskFailedError, TryAgainError
from afx.tasks.outcomes import wait_of


class Run:
    """A task that runs; it is what ``TaskRun`` promises to kinds."""

    __slots__ = (
        "_client",
        "_progressed",
        "cursor",
        "job",
        "job_id",
        "kind",
        "priority",
        "queue",
        "started_at",
        "stop_reason",
        "task",
    )

    def __init__(
        self,
        job: TaskJob,
        job_id: str,
        kind: Kind,
        *,
        queue: str,
        priority: int,
        progressed: Callable[[Run, float, str], None],
    ) -> None:
        """Raises ValueError when the job's cursor is malformed."""
        self.job = job
        self.job_id = job_id
        self.kind = kind
        self.queue = queue
        self.priority = priority
        self.cursor: Mapping[str, Any] = parse_cursor(job.cursor)
        self.started_at = 0
        """Milliseconds since 1970."""
        self.stop_reason: TaskOutcome | None = None
        """Why it is cancelled."""
        self.task: asyncio.Task[None] | None = None
        self._client: Any = None
        self._progressed = progressed

    def use(self, client: Any) -> None:
        """Give it its session's client."""
        self._client = client

    def stop(self, reason: TaskOutcome) -> None:
        """Cancel it; the first reason counts."""
        self.stop_reason = self.stop_reason or reason
        if self.task is not None:
            self.task.cancel()

    @property
    def task_id(self) -> int:
        """The task's number."""
        return self.job.task_id

    @property
    def client(self) -> Any:
        """The session's client; raises TaskFailedError when the task has no session."""
        if self._client is None:
            raise TaskFailedError(f"A task of kind {self.kind.name} needs a session.")
        return self._client

    async def call(self, request: Any) -> Any:
        """Make a request of Telegram; raises SnoozeError for a wait that it asks for."""
        client = self.client
        if not client.is_connected():
            raise TryAgainError("The session is not connected to Telegram.")
        try:
            return await client(request)
        except errors.RPCError as error:
            if wait := wait_of(error):
                raise wait from error
            raise

    async def save(self, share: float, cursor: Mapping[str, Any] | None = None) -> None:
        """Report how far the task is, 0 to 1, and where a next attempt goes on.

        Raises TaskFailedError when the cursor is too long.
        """
        if cursor is not None:
            self.cursor = dict(cursor)
        text = json.dumps(self.cursor, separators=(",", ":")) if self.cursor else ""
        if len(text) > CURSOR_LIMIT:
            raise TaskFailedError("The task's cursor has become too long; split the task.")
        self._progressed(self, share, text)
        await asyncio.sleep(0)

    def random_id(self, item: str) -> int:
        """Return the key of one side effect; the same in each attempt.

        The arguments are part of it: ids of tasks are given out again after a restore.
        """
        parts = (str(self.job.task_id), str(self.job.session_id), self.job.input, item)
        digest = blake2b("\0".join(parts).encode(), digest_size=8, person=b"afx task").digest()
        return int.from_bytes(digest, "big", signed=True) or 1

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)
