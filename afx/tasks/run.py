"""One run of a task on a node: what its coroutine may use."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from telethon import errors

from afx.cluster.task_jobs import CURSOR_LIMIT, TaskJob, parse_cursor
from afx.node import backfilling
from afx.node.approvals import approve
from afx.node.backfill_state import Range
from afx.node.message_source import ToldToWaitError, UnknownChatError
from afx.node.waits import ALL
from afx.reasons import DeadReason, TaskOutcome
from afx.tasks.kinds.base import Kind, SnoozeError, TaskFailedError, TryAgainError
from afx.tasks.outcomes import wait_of
from afx.telegram.budgets import budget_of

_BUSY_SECONDS = 15.0
_ANSWER_SECONDS = 3.0
"""For so long a run that is cancelled, or paused, waits for the answer to what it sends."""
_AGAIN_SECONDS = 5.0
"""After so long one that has not ended is cancelled once more."""
_MOST_LINES = 100
"""Of one run; SQL keeps so many of each task, see ``task_logs``."""


class Run:
    """A task that runs; it is what ``TaskRun`` promises to kinds."""

    __slots__ = (
        "_exports",
        "_is_to_end",
        "_lines",
        "_logged",
        "_progressed",
        "_session",
        "_stopped_at",
        "cursor",
        "job",
        "job_id",
        "kind",
        "node",
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
        node: str,
        exports: Path,
        progressed: Callable[[Run, float, str], None],
        logged: Callable[[Run, str], None],
    ) -> None:
        """``exports`` is the directory of files that tasks write.

        Raises ValueError when the job's cursor is malformed.
        """
        self.node = node
        self._exports = exports
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
        self._session: Any = None
        self._progressed = progressed
        self._logged = logged
        self._lines = 0
        self._stopped_at = 0.0
        """The loop's time."""
        self._is_to_end = False
        """It was cancelled while it sent, and goes on until it has noted what came of that."""

    def use(self, session: Any) -> None:
        """Give it its session, which has a client, a spec, and can be lost."""
        self._session = session

    def stop(self, reason: TaskOutcome) -> None:
        """Cancel it; the first reason counts.

        An order is repeated until it has ended: that does not cut short what it does at its end.
        """
        now = asyncio.get_running_loop().time()
        if self.stop_reason is reason and now - self._stopped_at < _AGAIN_SECONDS:
            return
        self._stopped_at = now
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
        return self._its_session.client

    @property
    def rules(self) -> Sequence[Any]:
        """The session's enabled rules, as the node has them."""
        found: Sequence[Any] = self._its_session.spec.rules
        return found

    def reconnect(self) -> None:
        """Let the session connect to Telegram anew."""
        self._its_session.lost(ConnectionError("a task asked for a new connection"))

    @property
    def _its_session(self) -> Any:
        if self._session is None:
            raise TaskFailedError(f"A task of kind {self.kind.name} needs a session.")
        return self._session

    async def write_file(self, name: str, at: int, data: bytes) -> int:
        """Write to a file of exports at a position; returns the position after it.

        Raises TryAgainError when the file cannot be written, or lacks what was written.
        """
        try:
            return await asyncio.to_thread(_write, self._exports / name, at, data)
        except OSError as error:
            raise TryAgainError(f"The file cannot be written ({error.strerror}).") from error

    async def call(self, request: Any) -> Any:
        """Make a request of Telegram; raises SnoozeError for a wait that it asks for.

        So does a wait that the session's lanes, or its other tasks, have met, and a budget
        that is used up: the request is not made. A wait that this one meets holds for them, too.
        """
        self._check_end()
        session, client = self._its_session, self.client
        if not client.is_connected():
            raise TryAgainError("The session is not connected to Telegram.")
        budget = budget_of(request)
        if left := session.wait_left(budget):
            text = f"Telegram asks to wait, or the account's budget does ({left:.0f} s are left)."
            raise SnoozeError(left, text)
        session.note_request(budget)
        try:
            return await self._answer_of(client, request)
        except errors.RPCError as error:
            wait = wait_of(error)
            if wait is None:
                raise
            key = ALL if wait.whole_account and isinstance(budget, int) else budget
            session.note_wait(key, wait.seconds, wait.name)
            text = f"Telegram asks to wait ({wait.name})."
            raise SnoozeError(wait.seconds, text) from error

    async def _answer_of(self, client: Any, request: Any) -> Any:
        """Make a request; who cancels or pauses the run waits for what came of a send.

        Telegram knows a random_id for some time only: the send is not to be made once more
        when the task is resumed long afterwards.
        """
        if not hasattr(request, "random_id"):
            return await client(request)
        made = asyncio.ensure_future(client(request))
        try:
            return await asyncio.shield(made)
        except asyncio.CancelledError:
            if not self.is_cancelled:
                made.cancel()
                raise
        self._is_to_end = True
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return await made
        except TimeoutError as error:
            raise asyncio.CancelledError from error

    def _check_end(self) -> None:
        """Raise CancelledError when it was cancelled while it sent."""
        if self._is_to_end:
            raise asyncio.CancelledError

    async def redeliver(
        self,
        rule: int,
        source: int,
        destination: int,
        messages: Sequence[int],
        *,
        reason: DeadReason | None = None,
    ) -> None:
        """Put messages of a route into its outbox once more; returns when that is stored.

        ``reason`` is why they are dead letters, where that tells what is to be done.
        Raises TryAgainError when the session belongs to another node by now.
        """
        session = self._its_session
        if not await session.redeliver(rule, source, destination, messages, reason=reason):
            raise TryAgainError("The session moves to another node.")

    async def approve(
        self, rule: int, source: int, destination: int, versions: Mapping[int, int]
    ) -> Any:
        """Send approved messages of a route; returns what became of them.

        Raises TryAgainError when they cannot be read now, or when the session belongs to
        another node by now, and SnoozeError for a wait that Telegram asks for.
        """
        session = self._its_session
        if not session.client.is_connected():
            raise TryAgainError("The session is not connected to Telegram.")
        try:
            found = await approve(session, rule, source, destination, versions)
        except ToldToWaitError as error:
            text = f"Telegram asks to wait ({error})."
            raise SnoozeError(error.seconds, text) from error
        except UnknownChatError as error:
            raise TryAgainError(f"The messages cannot be read now: {error}.") from error
        if found is None:
            raise TryAgainError("The session moves to another node.")
        return found

    async def backfill(
        self,
        rule: int,
        destinations: Sequence[int],
        wanted: Sequence[tuple[int, int, int, int]],
        counts: tuple[int, int],
        newest: Mapping[int, Callable[[], Awaitable[int]]],
    ) -> Any:
        """Let the session send old messages of a rule (see ``backfilling``).

        Raises TryAgainError when the session belongs to another node by now, or does not
        use the rule's chats now, and SnoozeError while another task does the same.
        """
        ranges = [Range(*it) for it in wanted]
        order = backfilling.Order(
            *(self.task_id, rule, destinations, ranges, *counts, newest),
            publication=self.job.publication,
        )
        try:
            found = await backfilling.backfill(self._its_session, order)
        except backfilling.BusyError as error:
            text = f"It waits for task {error.task}, which replays the same rule."
            raise SnoozeError(_BUSY_SECONDS, text) from error
        except backfilling.NotUsedError as error:
            text = "The session does not use all chats of the rule now; 'afx rule list' says why."
            raise TryAgainError(text) from error
        if found is None:
            raise TryAgainError("The session moves to another node.")
        return found

    async def end_backfill(self) -> Any:
        """Let the session send no more old messages for this task; returns how far that was."""
        return await backfilling.end(self._its_session, self.task_id)

    @property
    def is_cancelled(self) -> bool:
        """Whether it ends because somebody has cancelled it."""
        return self.stop_reason is TaskOutcome.CANCELLED

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

    def log(self, text: str) -> None:
        """Say something to whoever follows the task; a run has so many lines only."""
        self._lines += 1
        if self._lines < _MOST_LINES:
            self._logged(self, text)
        elif self._lines == _MOST_LINES:
            self._logged(self, "More lines of this run are left out.")

    def random_id(self, item: str) -> int:
        """Return the key of one side effect; the same in each attempt.

        The arguments are part of it: ids of tasks are given out again after a restore.
        """
        parts = (str(self.job.task_id), str(self.job.session_id), self.job.input, item)
        digest = blake2b("\0".join(parts).encode(), digest_size=8, person=b"afx task").digest()
        return int.from_bytes(digest, "big", signed=True) or 1

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        self._check_end()
        await asyncio.sleep(seconds)


def _write(path: Path, at: int, data: bytes) -> int:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        if file.seek(0, os.SEEK_END) < at:
            raise OSError(0, "an earlier part of it is missing")
        file.seek(at)
        file.truncate()
        file.write(data)
        return file.tell()
