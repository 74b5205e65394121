"""The host process: an asyncio loop in which a node's sessions live.

It starts and stops sessions as the coordinator's jobs say, commits their
progress, reports, and ends itself when the lease that its supervisor holds has
run out. What it does is below, in the order in which it matters:

- ``order_start`` and ``order_stop`` take the coordinator's orders;
- ``_start_one`` and ``_stop_one`` carry them out;
- ``_commit_loop``, ``_report_loop`` and ``_poll_loop`` keep things going;
- ``_watch_lease`` is what makes it safe.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Coroutine, Iterable
from typing import Any

import redis
import structlog

from afx import lease
from afx.cluster import keys, reports, specs
from afx.cluster.connection import connect_async
from afx.cluster.reports import (
    Active,
    Failed,
    FailureReason,
    Report,
    Running,
    Stopped,
    StopReason,
    Trouble,
    TroubleReason,
)
from afx.config import Settings
from afx.errors import SecretError
from afx.node.committer import Committer
from afx.node.lane import is_lost_login
from afx.node.lease_memory import LeaseMemory
from afx.node.running import Environment, RunningSession, StartError
from afx.security.vault import Vault
from afx.telegram.client import guarded_connection
from afx.telegram.session import StoredSession

EXIT_LEASE_OVER = 75
_STARTS_AT_ONCE = 64
_WATCH_SECONDS = 0.1
_REPORT_SECONDS = 0.02
_ACTIVITY_SECONDS = 20.0

log = structlog.get_logger()


class Host:
    """The sessions of one incarnation of a node."""

    def __init__(
        self,
        settings: Settings,
        redis_url: str,
        node: str,
        incarnation: str,
        memory: LeaseMemory,
        vault: Vault,
        settled_pipe: int,
    ) -> None:
        self._settings = settings
        self._node = node
        self._incarnation = incarnation
        self._memory = memory
        self._vault = vault
        self._settled_pipe = settled_pipe
        self._redis = connect_async(redis_url)
        self._committer = Committer(self._redis, incarnation, settings.link_days)
        self._sessions: dict[int, RunningSession] = {}
        self._epochs: dict[int, int] = {}
        """The newest epoch of each session that was ordered here."""
        self._being_started: set[tuple[int, int]] = set()
        self._ended: dict[int, int] = {}
        """session → the newest epoch under which it has ended here."""
        self._called_off: set[tuple[int, int]] = set()
        """(session, epoch) of starts that were told to stop before they began."""
        self._dirty: dict[RunningSession, None] = {}
        self._reports: list[Report] = []
        self._reported = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._starting = 0
        self._forwarded_before = 0
        self._term = 0
        self._paused = False
        self._gate = asyncio.Semaphore(_STARTS_AT_ONCE)
        self._committing = asyncio.Lock()
        self._closing = asyncio.Event()
        self._environment = Environment(
            api_id=settings.api_id,
            api_hash=settings.api_hash.get_secret_value(),
            connection=guarded_connection(self.may_write, settings.lease.in_flight),
            guard=self.may_write,
            dirty=self._note_dirty,
            lost=self._note_lost,
            trouble=self._note_trouble,
        )

    def may_write(self) -> bool:
        """Return whether this node's lease still lasts."""
        return lease.now() < self._memory.deadline

    # --- the coordinator's orders -----------------------------------------------

    async def order_start(self, term: int, items: list[tuple[int, int]]) -> dict[str, list[int]]:
        """Start sessions, given as (session, epoch), in the background.

        Refused are an older term, an older epoch, and all when this host ends or
        its lease is running out.
        A session that runs under that epoch already is reported again.
        """
        if term < self._term or self._closing.is_set() or self._paused:
            return {"accepted": [], "refused": [session for session, _ in items]}
        self._term = term
        accepted, refused = [], []
        for session, epoch in items:
            held = self._epochs.get(session, 0)
            if epoch < held:
                refused.append(session)
                continue
            accepted.append(session)
            if epoch == held:
                # What is still starting will say so itself, once its position is
                # stored: were it called running before, and killed then, the next
                # owner would begin at its own now.
                if session in self._sessions and not self._is_starting((session, epoch)):
                    self._report_running(session, epoch)
                continue
            self._epochs[session] = epoch
        fresh = []
        for session, epoch in items:
            running = self._sessions.get(session)
            if session in refused or self._is_starting((session, epoch)):
                continue
            if self._ended.get(session, 0) >= epoch:
                # Said to have ended, it may be another node's by now: never again
                # under that epoch. The leader has missed it, so it hears it again.
                self._report_stopped(session, epoch, StopReason.ALREADY_ENDED)
                continue
            if running is None:
                # Noted before anything is awaited: an order that comes twice at
                # once must not make two connections of one login.
                self._being_started.add((session, epoch))
                fresh.append((session, epoch))
            elif running.epoch < epoch:
                self._spawn(self._restart(running, epoch))
        if fresh:
            await self._load_and_start(fresh)
        return {"accepted": accepted, "refused": refused}

    async def order_stop(self, term: int, items: list[tuple[int, int]]) -> dict[str, list[int]]:
        """Stop sessions, given as (session, epoch); each is reported when it has."""
        if term < self._term:
            return {"accepted": [], "refused": [session for session, _ in items]}
        self._term = term
        for session, epoch in items:
            self._epochs[session] = max(epoch, self._epochs.get(session, 0))
            self._spawn(self._stop_one(session, epoch, StopReason.REQUESTED))
        return {"accepted": [session for session, _ in items], "refused": []}

    async def _restart(self, session: RunningSession, epoch: int) -> None:
        """Run a session under a newer epoch: its old self ends first."""
        number = session.spec.session
        await self._stop_one(number, session.epoch, StopReason.SUPERSEDED)
        if not self._is_starting((number, epoch)):
            self._being_started.add((number, epoch))
            await self._load_and_start([(number, epoch)])

    def _is_called_off(self, session: int, epoch: int) -> bool:
        return (
            self._closing.is_set()
            or self._epochs.get(session) != epoch
            or (session, epoch) in self._called_off
        )

    def _is_starting(self, item: tuple[int, int]) -> bool:
        return item in self._being_started

    async def _load_and_start(self, items: list[tuple[int, int]]) -> None:
        """Read what the sessions need, in one round trip, and start them."""
        # All at one moment: a Redis that forgets everything forgets it before or after.
        pipe = self._redis.pipeline(transaction=True)
        for session, _epoch in items:
            pipe.get(keys.spec(session))
            pipe.hgetall(keys.cursor(session))
            pipe.hgetall(keys.entities(session))
        try:
            answers = await pipe.execute()
        except BaseException:
            self._being_started.difference_update(items)
            raise
        for number, (session, epoch) in enumerate(items):
            spec, cursors, hashes = answers[3 * number : 3 * number + 3]
            if spec is None:
                self._being_started.discard((session, epoch))
                self._report_failed(session, epoch, FailureReason.SPEC_MISSING)
                continue
            self._spawn(self._start_one(specs.parse(spec), epoch, cursors, hashes))

    async def _start_one(
        self, spec: specs.SessionSpec, epoch: int, cursors: dict[str, str], hashes: dict[str, str]
    ) -> None:
        self._starting += 1
        session: RunningSession | None = None
        try:
            async with self._gate:
                if self._is_called_off(spec.session, epoch):
                    self._report_stopped(spec.session, epoch, StopReason.CANCELLED)
                    return
                stored = StoredSession(self._vault.open(spec.login), cursors, hashes)
                session = RunningSession(spec, epoch, stored, self._environment)
                # Known from here on: its socket is open before it is up to date.
                self._sessions[spec.session] = session
                async with asyncio.timeout(self._settings.start_timeout_seconds):
                    await session.start()
                    await self._commit_surely(session)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self._sessions.pop(spec.session, None)
            if session:
                self._dirty.pop(session, None)
                await session.stop()
            reason, text = _why(error)
            self._report_failed(spec.session, epoch, reason, text)
            log.warning(
                "session_failed", session=spec.session, epoch=epoch, reason=reason, text=text
            )
        else:
            session.next_poll = time.monotonic() + self._settings.poll_seconds
            self._report_running(spec.session, epoch)
            with contextlib.suppress(OSError):
                os.write(self._settled_pipe, f"{spec.session}\n".encode())
        finally:
            self._starting -= 1
            self._being_started.discard((spec.session, epoch))
            self._called_off.discard((spec.session, epoch))

    async def _stop_one(self, number: int, epoch: int, reason: StopReason) -> None:
        session = self._sessions.get(number)
        if session is None or session.epoch > epoch:
            if self._is_starting((number, epoch)):
                self._called_off.add((number, epoch))
            else:
                self._report_stopped(number, epoch, reason)
            return
        await session.stop()
        self._forwarded_before += session.forwarded
        await self._commit([session])
        self._dirty.pop(session, None)
        if self._sessions.get(number) is session:
            del self._sessions[number]
        self._report_stopped(number, session.epoch, reason)

    # --- what sessions tell ---------------------------------------------------------

    def _note_dirty(self, session: RunningSession) -> None:
        self._dirty[session] = None

    def _note_lost(self, session: RunningSession, error: BaseException) -> None:
        reason, text = _why(error)
        log.warning("session_lost", session=session.spec.session, reason=reason, text=text)
        self._spawn(self._give_up(session, reason, text))

    async def _give_up(self, session: RunningSession, reason: FailureReason, text: str) -> None:
        await session.stop()
        await self._commit([session])
        self._dirty.pop(session, None)
        if self._sessions.get(session.spec.session) is session:
            del self._sessions[session.spec.session]
        self._report_failed(session.spec.session, session.epoch, reason, text)

    def _note_trouble(self, session: RunningSession, reason: TroubleReason, text: str) -> None:
        self._add_report(
            Trouble(
                node=self._node,
                incarnation=self._incarnation,
                session_id=session.spec.session,
                epoch=session.epoch,
                reason=reason,
                text=text,
            )
        )

    def _report_running(self, session_id: int, epoch: int) -> None:
        self._add_report(
            Running(
                node=self._node,
                incarnation=self._incarnation,
                session_id=session_id,
                epoch=epoch,
            )
        )

    def _report_stopped(self, session_id: int, epoch: int, reason: StopReason) -> None:
        self._ended[session_id] = max(epoch, self._ended.get(session_id, 0))
        self._add_report(
            Stopped(
                node=self._node,
                incarnation=self._incarnation,
                session_id=session_id,
                epoch=epoch,
                reason=reason,
            )
        )

    def _report_failed(
        self, session_id: int, epoch: int, reason: FailureReason, text: str = ""
    ) -> None:
        self._ended[session_id] = max(epoch, self._ended.get(session_id, 0))
        self._add_report(
            Failed(
                node=self._node,
                incarnation=self._incarnation,
                session_id=session_id,
                epoch=epoch,
                reason=reason,
                text=text,
            )
        )

    def _add_report(self, report: Report) -> None:
        self._reports.append(report)
        self._reported.set()

    # --- what goes on all the time ----------------------------------------------------

    async def run(self) -> None:
        """Live until ``close`` has been called and all sessions have stopped."""
        asyncio.get_running_loop().set_exception_handler(_on_loop_error)
        loops: Iterable[Coroutine[Any, Any, None]] = (
            self._watch_lease(),
            self._commit_loop(),
            self._report_loop(),
            self._poll_loop(),
            self._activity_loop(),
        )
        running = [asyncio.create_task(it) for it in loops]
        closing = asyncio.create_task(self._closing.wait())
        try:
            await asyncio.wait([*running, closing], return_when=asyncio.FIRST_COMPLETED)
            for task in running:
                if task.done():
                    task.result()
            await self._stop_all()
        finally:
            await _cancel({*running, closing})
            await self._redis.aclose()

    def close(self) -> None:
        """Stop all sessions, commit and report, then end."""
        self._closing.set()

    async def _stop_all(self) -> None:
        # What has not begun to connect ends by itself (see _start_one).
        while self._starting or self._sessions:
            await asyncio.gather(
                *(
                    self._stop_one(number, session.epoch, StopReason.NODE_STOPPING)
                    for number, session in list(self._sessions.items())
                )
            )
            await asyncio.sleep(0.01)
        if self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._send_reports()

    async def _watch_lease(self) -> None:
        """End this process at the lease's deadline; go quiet before it."""
        memory = self._memory
        while True:
            now = lease.now()
            if now >= memory.deadline:
                # The kernel closes all sockets at once: nothing is faster or surer.
                os._exit(EXIT_LEASE_OVER)
            forwarded = self._forwarded_before + sum(it.forwarded for it in self._sessions.values())
            memory.beat(now, len(self._sessions) - self._starting, self._starting, forwarded)
            if now >= memory.quiet_from and not self._paused:
                self._paused = True
                log.warning("lease_not_renewed", left=round(memory.deadline - now, 2))
                for session in self._sessions.values():
                    session.pause()
            elif now < memory.quiet_from and self._paused:
                self._paused = False
                for session in self._sessions.values():
                    session.resume()
            await asyncio.sleep(min(_WATCH_SECONDS, max(0.001, memory.deadline - now)))

    async def _commit_loop(self) -> None:
        losses = 0
        while True:
            await asyncio.sleep(self._settings.flush_seconds)
            if losses != self._memory.losses:
                losses = self._memory.losses
                for session in self._sessions.values():
                    session.mark_all_dirty()
            if self._dirty:
                sessions = list(self._dirty)
                self._dirty.clear()
                await self._commit(sessions)

    async def _commit_surely(self, session: RunningSession) -> None:
        """Commit where a session begins: before anybody may count on it.

        Were it lost, the next owner would begin at its own now.
        """
        await self._commit([session])
        while session.changed:
            await asyncio.sleep(self._settings.flush_seconds)
            await self._commit([session])

    async def _commit(self, sessions: list[RunningSession]) -> None:
        async with self._committing:
            try:
                foreign = await self._committer.commit(sessions)
            except (redis.ConnectionError, redis.TimeoutError) as error:
                # Put back, and tried again; should the lease run out meanwhile,
                # the next owner replays from the last commit.
                log.warning("commit_failed", reason=str(error))
                return
        for session in foreign:
            log.warning("session_fenced", session=session.spec.session, epoch=session.epoch)
            if self._sessions.get(session.spec.session) is session:
                self._spawn(self._drop_foreign(session))

    async def _drop_foreign(self, session: RunningSession) -> None:
        """Stop a session that Redis says is another's; nobody waits for a report."""
        number = session.spec.session
        self._ended[number] = max(session.epoch, self._ended.get(number, 0))
        del self._sessions[session.spec.session]
        await session.stop()
        self._dirty.pop(session, None)

    async def _report_loop(self) -> None:
        while True:
            await self._reported.wait()
            await asyncio.sleep(_REPORT_SECONDS)
            await self._send_reports()

    async def _send_reports(self) -> None:
        self._reported.clear()
        waiting, self._reports = self._reports, []
        if not waiting:
            return
        try:
            await reports.publish_async(self._redis, waiting)
        except (redis.ConnectionError, redis.TimeoutError):
            self._reports = waiting + self._reports
            self._reported.set()
            await asyncio.sleep(0.2)

    async def _poll_loop(self) -> None:
        """Ask quiet source channels from time to time: pushes are not promised."""
        while True:
            await asyncio.sleep(1.0)
            now = time.monotonic()
            for session in list(self._sessions.values()):
                if session.next_poll and session.next_poll <= now:
                    session.next_poll = now + self._settings.poll_seconds
                    session.poll()

    async def _activity_loop(self) -> None:
        """Report from time to time which sessions have forwarded anything."""
        before: dict[int, int] = {}
        while True:
            await asyncio.sleep(_ACTIVITY_SECONDS)
            counts = {number: it.forwarded for number, it in self._sessions.items()}
            active = [it for it, count in counts.items() if count > before.get(it, 0)]
            before = counts
            if active:
                self._add_report(
                    Active(
                        node=self._node,
                        incarnation=self._incarnation,
                        session_ids=tuple(active),
                    )
                )

    def _spawn(self, work: Coroutine[Any, Any, None], name: str | None = None) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("task_failed", task=task.get_name(), error=repr(error))


def _why(error: BaseException) -> tuple[FailureReason, str]:
    """Return why a session ended: a code, and a text for people."""
    name = type(error).__name__.removesuffix("Error")
    if is_lost_login(error):
        return FailureReason.LOGIN_LOST, name
    if isinstance(error, StartError):
        return error.reason, str(error)
    if isinstance(error, SecretError):
        return FailureReason.LOGIN_UNREADABLE, str(error)
    if isinstance(error, TimeoutError):
        return FailureReason.START_TIMEOUT, ""
    return FailureReason.INTERNAL_ERROR, f"{name}: {error}"


async def _cancel(tasks: set[asyncio.Task[Any]]) -> None:
    """Cancel tasks until they have ended.

    Once is not enough: a Redis call that is cancelled may raise a timeout
    instead, which a loop takes for trouble with Redis, and goes on.
    """
    while tasks:
        for task in tasks:
            task.cancel()
        _done, tasks = await asyncio.wait(tasks, timeout=0.2)


def _on_loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error = context.get("exception")
    if isinstance(error, ConnectionError | asyncio.IncompleteReadError):
        return  # requests that nobody waits for any more, on a lost connection
    log.error("loop_error", message=context.get("message"), error=repr(error))
    del loop
