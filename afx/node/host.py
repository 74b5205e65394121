"""The host process: an asyncio loop in which a node's sessions run.

It starts and stops sessions as the coordinator orders, and ends itself when the lease
that its supervisor holds has run out. The parts:

- ``residents`` decides what happens to each session; ``_do`` carries it out;
- ``_open`` and ``_stop`` are the two pieces of work on a session;
- ``CommitLoop`` stores progress, ``ReportSender`` reports, and ``LeaseWatch`` is what
  makes it all safe.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

import structlog
from telethon.errors import RPCError

from afx.clock import SYSTEM_CLOCK, Clock
from afx.cluster.connection import connect_async
from afx.cluster.reports import FailureReason, TroubleReason
from afx.config import Settings
from afx.errors import SecretError
from afx.node.commit_loop import CommitLoop
from afx.node.committer import Committer
from afx.node.lease_memory import LeaseMemory
from afx.node.lease_watch import LeaseWatch
from afx.node.report_sender import ReportSender
from afx.node.residents import (
    Action,
    Begin,
    CancelStart,
    End,
    Failure,
    Phase,
    ReportFailed,
    ReportRunning,
    ReportStopped,
    Resident,
    Residents,
)
from afx.node.session import Environment, HostedSession, StartError, Totals
from afx.node.session_loader import Loaded, load
from afx.security.vault import Vault
from afx.telegram.client import guarded_connection
from afx.telegram.errors import error_name, is_lost_login
from afx.telegram.session import StoredSession

_STARTS_AT_ONCE = 64
_POLL_SECONDS = 1.0
_ACTIVITY_SECONDS = 20.0
_CANCEL_SECONDS = 0.2

log = structlog.get_logger()


class Host:
    """The sessions of one incarnation of a node."""

    def __init__(
        self,
        settings: Settings,
        *,
        redis_url: str,
        node: str,
        incarnation: str,
        memory: LeaseMemory,
        vault: Vault,
        settled_pipe: int,
        clock: Clock = SYSTEM_CLOCK,
        rng: random.Random | None = None,
        exit_process: Callable[[int], None] = os._exit,
    ) -> None:
        """``settled_pipe`` is where the ids of started sessions are written."""
        self._settings = settings
        self._vault = vault
        self._settled_pipe = settled_pipe
        self._clock = clock
        self._redis = connect_async(redis_url)
        self._residents: Residents[HostedSession] = Residents()
        self._totals = Totals()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._term = 0
        self._gate = asyncio.Semaphore(_STARTS_AT_ONCE)
        self._closing = asyncio.Event()
        self._empty = asyncio.Event()
        """Set once all sessions have ended after ``close``."""
        self._active: dict[int, int] = {}
        """session → how many messages it had sent at the last report of activity."""
        self.reports = ReportSender(self._redis, node, incarnation)
        self._lease = LeaseWatch(
            memory,
            clock,
            sessions=self._residents.sessions,
            counts=self._counts,
            exit_process=exit_process,
        )
        self._commits = CommitLoop(
            self._redis,
            Committer(self._redis, incarnation, settings.link_days),
            memory,
            flush_seconds=settings.flush_seconds,
            sessions=self._residents.sessions,
            fenced=self._note_fenced,
        )
        self._environment = Environment(
            api_id=settings.api_id,
            api_hash=settings.api_hash.get_secret_value(),
            connection=guarded_connection(self._lease.may_write, settings.lease.in_flight),
            may_write=self._lease.may_write,
            dirty=self._commits.note_dirty,
            gave_up=self._note_gave_up,
            trouble=self._note_trouble,
            clock=clock,
            rng=rng or random.Random(),
            totals=self._totals,
        )

    # --- the coordinator's orders -----------------------------------------------

    async def order_start(self, term: int, items: list[tuple[int, int]]) -> dict[str, list[int]]:
        """Start sessions, given as (session, epoch), in the background.

        An older term and an older epoch are refused; all are when this host is ending
        or its lease is running out. A session that runs under that epoch already is
        reported again.
        """
        if term < self._term or self._closing.is_set() or self._lease.paused:
            return {"accepted": [], "refused": [session_id for session_id, _ in items]}
        self._term = term
        accepted: list[int] = []
        refused: list[int] = []
        actions: list[Action[HostedSession]] = []
        for session_id, epoch in items:
            taken, its_actions = self._residents.order_start(session_id, epoch)
            (accepted if taken else refused).append(session_id)
            actions += its_actions
        self._do(actions)
        return {"accepted": accepted, "refused": refused}

    async def order_stop(self, term: int, items: list[tuple[int, int]]) -> dict[str, list[int]]:
        """Stop sessions, given as (session, epoch); each is reported when it has."""
        if term < self._term:
            return {"accepted": [], "refused": [session_id for session_id, _ in items]}
        self._term = term
        for session_id, epoch in items:
            self._do(self._residents.order_stop(session_id, epoch))
        return {"accepted": [session_id for session_id, _ in items], "refused": []}

    def close(self) -> None:
        """Stop all sessions, commit and report; then ``run`` returns."""
        self._closing.set()
        self._do(self._residents.close())

    # --- carrying out what the state machine says -----------------------------------

    def _do(self, actions: Iterable[Action[HostedSession]]) -> None:
        loop = asyncio.get_running_loop()
        beginning: list[int] = []
        loaded: asyncio.Future[list[Loaded]] = loop.create_future()
        for action in actions:
            match action:
                case Begin(resident):
                    self._begin(resident, loaded, len(beginning))
                    beginning.append(resident.session_id)
                case CancelStart(resident):
                    assert resident.start is not None
                    resident.start.cancel()
                case End(resident):
                    self._spawn(self._stop(resident), f"stop {resident.session_id}")
                case ReportRunning(session_id, epoch):
                    self.reports.running(session_id, epoch)
                case ReportStopped(session_id, epoch, reason):
                    self.reports.stopped(session_id, epoch, reason)
                case ReportFailed(session_id, epoch, failure):
                    self.reports.failed(session_id, epoch, failure.reason, failure.text)
        if beginning:
            self._spawn(self._load(beginning, loaded), "load")
        if self._closing.is_set() and not self._residents.alive:
            self._empty.set()

    def _begin(
        self, resident: Resident[HostedSession], loaded: asyncio.Future[list[Loaded]], index: int
    ) -> None:
        work = self._open(resident, resident.epoch, loaded, index)
        task = self._spawn(work, f"start {resident.session_id}")
        resident.start = task
        # A callback, since a task that is cancelled at once does not run at all.
        task.add_done_callback(lambda done: self._start_done(resident, done))

    async def _load(self, session_ids: list[int], loaded: asyncio.Future[list[Loaded]]) -> None:
        """Read what the sessions of one order need, in one round trip."""
        loaded.set_result(await load(self._redis, session_ids))

    async def _open(
        self,
        resident: Resident[HostedSession],
        epoch: int,
        loaded: asyncio.Future[list[Loaded]],
        index: int,
    ) -> None:
        """Start one session; may be cancelled at any moment (see ``_start_done``)."""
        found = (await asyncio.shield(loaded))[index]
        if found.spec is None:
            reason = FailureReason.SPEC_INVALID if found.error else FailureReason.SPEC_MISSING
            raise StartError(reason, found.error)
        async with self._gate:
            login = self._vault.open(found.spec.login)
            stored = StoredSession(login, found.cursors or {}, found.hashes or {})
            session = HostedSession(found.spec, epoch, stored, self._environment)
            if self._lease.paused:
                session.pause()
            # From here on a stop finds it: a connection may exist.
            resident.session = session
            async with asyncio.timeout(self._settings.start_timeout_seconds):
                await session.start()
                await self._commits.commit_fully(session)

    def _start_done(self, resident: Resident[HostedSession], task: asyncio.Task[None]) -> None:
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is not None:
            self._spawn(self._clean_up(resident, error), f"clean up {resident.session_id}")
            return
        assert resident.session is not None
        now = self._clock.monotonic()
        resident.session.next_poll = now + self._settings.poll_seconds
        self._do(self._residents.started(resident))
        if resident.phase is Phase.RUNNING:
            with contextlib.suppress(OSError):
                os.write(self._settled_pipe, f"{resident.session_id}\n".encode())

    async def _clean_up(self, resident: Resident[HostedSession], error: BaseException) -> None:
        """Close what a start that failed or was cancelled has left."""
        if resident.session is not None:
            await self._disconnect(resident.session)
            self._commits.forget(resident.session)
        failure = None
        if resident.phase is Phase.STARTING or not isinstance(error, asyncio.CancelledError):
            failure = _failure(error)
            log.warning(
                "session_start_failed",
                session=resident.session_id,
                epoch=resident.epoch,
                reason=failure.reason,
                text=failure.text,
            )
        self._do(self._residents.ended(resident, failure))

    async def _stop(self, resident: Resident[HostedSession]) -> None:
        """Stop a session that has started, and commit what it has settled."""
        session = resident.session
        assert session is not None
        await self._disconnect(session)
        await self._commits.commit([session])
        self._commits.forget(session)
        self._do(self._residents.ended(resident))

    async def _disconnect(self, session: HostedSession) -> None:
        try:
            await session.stop()
        except Exception as error:
            # Its connection is closed all the same.
            log.error("session_stop_failed", session=session.session_id, error=repr(error))

    # --- what sessions tell ---------------------------------------------------------

    def _note_gave_up(self, session: HostedSession, error: BaseException) -> None:
        failure = _failure(error)
        log.warning(
            "session_lost", session=session.session_id, reason=failure.reason, text=failure.text
        )
        self._do(self._residents.gave_up(session.session_id, session.epoch, failure))

    def _note_fenced(self, session: HostedSession) -> None:
        self._do(self._residents.fenced(session.session_id, session.epoch))

    def _note_trouble(self, session: HostedSession, reason: TroubleReason, text: str) -> None:
        self.reports.trouble(session.session_id, session.epoch, reason, text)

    # --- all the time -----------------------------------------------------------------

    async def run(self) -> None:
        """Serve until ``close`` has been called and all sessions have ended."""
        asyncio.get_running_loop().set_exception_handler(_on_loop_error)
        loops: Iterable[Coroutine[Any, Any, None]] = (
            self._lease.run(),
            self._commits.run(),
            self.reports.run(),
            self._every(_POLL_SECONDS, self._poll),
            self._every(_ACTIVITY_SECONDS, self._report_activity),
        )
        running = [asyncio.create_task(it) for it in loops]
        empty = asyncio.create_task(self._empty.wait())
        try:
            await asyncio.wait([*running, empty], return_when=asyncio.FIRST_COMPLETED)
            for task in running:
                if task.done():
                    task.result()
            await self.reports.flush()
        finally:
            await _cancel({*running, empty, *self._tasks})
            await self._redis.aclose()

    async def _every(self, seconds: float, step: Callable[[], None]) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                step()
            except Exception as error:
                # An error of one session must not end the host.
                log.error("step_failed", step=step.__name__, error=repr(error))

    def _poll(self) -> None:
        """Ask quiet source channels from time to time: pushes are not promised."""
        now = self._clock.monotonic()
        for session in list(self._residents.sessions()):
            if session.next_poll and session.next_poll <= now:
                session.next_poll = now + self._settings.poll_seconds
                session.poll()

    def _report_activity(self) -> None:
        """Report which sessions have forwarded anything since the last time."""
        before = self._active
        self._active = {it.session_id: it.sent for it in self._residents.sessions()}
        active = [it for it, sent in self._active.items() if sent > before.get(it, 0)]
        if active:
            self.reports.active(tuple(active))

    def _counts(self) -> tuple[int, int, int]:
        starting = self._residents.starting
        return self._residents.alive - starting, starting, self._totals.forwarded

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)
        return task

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        # A failed start is logged and reported where it is cleaned up.
        if not task.cancelled() and (error := task.exception()):
            if not task.get_name().startswith("start "):
                log.error("task_failed", task=task.get_name(), error=repr(error))


def _failure(error: BaseException) -> Failure:
    """Return why a session ended: a code, and a text for people."""
    name = error_name(error)
    if is_lost_login(error):
        return Failure(FailureReason.LOGIN_LOST, name)
    if isinstance(error, StartError):
        return Failure(error.reason, str(error))
    if isinstance(error, SecretError):
        return Failure(FailureReason.LOGIN_UNREADABLE, str(error))
    if isinstance(error, TimeoutError):
        return Failure(FailureReason.START_TIMEOUT)
    if isinstance(error, RPCError):
        seconds = getattr(error, "seconds", None)
        return Failure(FailureReason.TELEGRAM_ERROR, f"{name} ({seconds} s)" if seconds else name)
    if isinstance(error, OSError | EOFError):
        return Failure(FailureReason.CONNECTION_FAILED, f"{name}: {error}")
    return Failure(FailureReason.INTERNAL_ERROR, f"{name}: {error}")


async def _cancel(tasks: set[asyncio.Task[Any]]) -> None:
    """Cancel tasks until they have ended.

    Once is not enough: a Redis call that is cancelled may raise a timeout instead,
    which a loop takes for trouble with Redis, and goes on.
    """
    while tasks:
        for task in tasks:
            task.cancel()
        _done, tasks = await asyncio.wait(tasks, timeout=_CANCEL_SECONDS)


def _on_loop_error(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error = context.get("exception")
    if isinstance(error, ConnectionError | asyncio.IncompleteReadError):
        return  # requests on a lost connection that no one waits for any more
    log.error("loop_error", message=context.get("message"), error=repr(error))
