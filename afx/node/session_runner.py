"""Carries out what the state machine of the sessions says: starts, stops, reports.

A start is a task that may be cancelled at any moment; what it leaves is cleaned up in
another one, which nothing cancels. So a session is called ended only once it has no
connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any

import structlog
from telethon.errors import RPCError

from afx.cluster.generation_proof import claimed
from afx.cluster.specs import SessionSpec
from afx.devices import Device, parse_device
from afx.errors import SecretError, UsageError
from afx.node.commit_loop import CommitLoop
from afx.node.environment import Environment
from afx.node.lease_watch import LeaseWatch
from afx.node.preparation import StartError
from afx.node.redis_trouble import RedisTrouble
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
from afx.node.session import HostedSession
from afx.node.session_loader import Loaded, load
from afx.node.start_gate import StartGate
from afx.node_settings import NodeSettings
from afx.proxies import Proxy, parse_proxy
from afx.reasons import FailureReason
from afx.security.signing import SigningKeys
from afx.security.vault import Vault
from afx.telegram.errors import error_name, is_banned, is_lost_login
from afx.telegram.proxied import proxy_error_in
from afx.telegram.session import StoredSession

_STARTS_AT_ONCE = 64
_GATE_SECONDS = 3.0
"""How long a start counts as one of those; after that it waits for a server."""

log = structlog.get_logger()


class SessionRunner:
    """Starts and stops the sessions of one host."""

    def __init__(
        self,
        residents: Residents[HostedSession],
        *,
        client: Any,
        settings: NodeSettings,
        vault: Vault,
        environment: Environment,
        lease: LeaseWatch,
        commits: CommitLoop,
        reports: ReportSender,
        trouble: RedisTrouble,
        settled_pipe: int,
        changed: Callable[[], None],
        ending: Callable[[int], Awaitable[None]],
    ) -> None:
        """Make the runner of a host's sessions.

        ``settled_pipe`` takes the ids of started sessions; ``changed`` is called after
        each change of the sessions' records, ``ending`` before a session stops, which waits for it.
        """
        self._residents = residents
        self._redis = client
        self._settings = settings
        self._vault = vault
        self._signing_keys = SigningKeys(vault.signing_keys())
        self._environment = environment
        self._lease = lease
        self._commits = commits
        self._reports = reports
        self._renewing = asyncio.Lock()
        self._trouble = trouble
        self._settled_pipe = settled_pipe
        self._changed = changed
        self._ending = ending
        self._gate = StartGate(_STARTS_AT_ONCE, _GATE_SECONDS)
        self.tasks: set[asyncio.Task[Any]] = set()
        """The work under way."""
        self.generation_proof = ""
        """Of the newest generation of which a spec was read (see the module of that name)."""
        self.ended = 0
        """How many sessions have ended, or failed to start."""
        self._due: dict[int, int] = {}
        """session that is ending → when something of it is due."""
        self.catching_up: set[int] = set()
        """The sessions that were reported as running, and not yet as having caught up."""

    def do(self, actions: Iterable[Action[HostedSession]]) -> None:
        """Carry out actions, in their order."""
        loop = asyncio.get_running_loop()
        beginning: list[tuple[int, int]] = []
        loaded: asyncio.Future[list[Loaded]] = loop.create_future()
        for action in actions:
            match action:
                case Begin(resident):
                    self._begin(resident, loaded, len(beginning))
                    beginning.append((resident.session_id, resident.epoch))
                case CancelStart(resident):
                    assert resident.start is not None
                    resident.start.cancel()
                case End(resident):
                    self._spawn(self._stop(resident), f"stop {resident.session_id}")
                case ReportRunning(session_id, epoch):
                    self._report_running(session_id, epoch)
                case ReportStopped(session_id, epoch, reason):
                    due = self._due.pop(session_id, 0)
                    self._reports.stopped(session_id, epoch, reason, due)
                case ReportFailed(session_id, epoch, failure):
                    self._reports.failed(session_id, epoch, failure.reason, failure.text)
        if beginning:
            self._spawn(self._load(beginning, loaded), "load")
        self._changed()

    def _report_running(self, session_id: int, epoch: int) -> None:
        """Report that a session runs, and which of its rules do not."""
        self._reports.running(session_id, epoch)
        self.catching_up.add(session_id)
        session = self._residents.session(session_id)
        if session is not None and session.epoch == epoch:
            for rule, trouble in session.rule_troubles.items():
                self._reports.rule(session_id, epoch, rule, trouble)

    def renew(self, items: list[tuple[int, int]]) -> None:
        """Let running sessions use the filters and transforms of their specs as they are now."""
        self._spawn(self._renew(items), "renew")

    async def _renew(self, items: list[tuple[int, int]]) -> None:
        # One after another: a spec that was read earlier must not follow a newer one.
        async with self._renewing:
            found = await self._read(items)
            for (session_id, epoch), it in zip(items, found, strict=True):
                session = self._residents.session(session_id)
                if it.spec is not None and session is not None and session.epoch == epoch:
                    session.renew(it.spec.rules)

    def _begin(
        self, resident: Resident[HostedSession], loaded: asyncio.Future[list[Loaded]], index: int
    ) -> None:
        work = self._open(resident, resident.epoch, loaded, index)
        task = self._spawn(work, f"start {resident.session_id}")
        resident.start = task
        # A callback, since a task that is cancelled at once does not run at all.
        task.add_done_callback(lambda done: self._start_done(resident, done))

    async def _load(
        self, items: list[tuple[int, int]], loaded: asyncio.Future[list[Loaded]]
    ) -> None:
        """Read what the sessions of one order need, in one round trip."""
        try:
            found = await self._read(items)
        except Exception as error:
            # Each of the starts must end, and be answered.
            loaded.set_exception(error)
            loaded.exception()  # it may be that all of them were cancelled
            raise
        except BaseException:
            loaded.cancel()
            raise
        loaded.set_result(found)

    async def _read(self, items: list[tuple[int, int]]) -> list[Loaded]:
        found = await load(self._redis, self._signing_keys, items, self._trouble)
        proofs = (it.spec.proof for it in found if it.spec is not None)
        self.generation_proof = max((self.generation_proof, *proofs), key=claimed)
        return found

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
            raise StartError(found.reason, found.error)
        async with self._gate.admitted():
            login = self._vault.open(found.spec.login, session_id=resident.session_id)
            stored = StoredSession(login, found.cursors or {}, found.hashes or {})
            if not self._settings.login_servers.allows(stored.server_address, stored.port):
                raise StartError(FailureReason.SERVER_NOT_ALLOWED, "see the setting test_networks")
            proxy = self._proxy_of(found.spec)
            device = self._device_of(found.spec)
            session = HostedSession(
                found.spec, epoch, stored, self._environment, proxy=proxy, device=device
            )
            if self._lease.paused:
                session.pause()
            # From here on a stop finds it: a connection may exist.
            resident.session = session
            async with asyncio.timeout(self._settings.start_timeout_seconds):
                await session.start()
        # A Redis that takes no commit is no fault of the session: its start waits.
        await self._commits.commit_fully(session)

    def _proxy_of(self, spec: SessionSpec) -> Proxy | None:
        """Return the proxy of a session; None when it has none. Raises StartError."""
        if not spec.proxy:
            return None
        try:
            return parse_proxy(self._vault.open_proxy(spec.sealed_proxy, proxy_id=spec.proxy))
        except (SecretError, UsageError) as error:
            raise StartError(FailureReason.PROXY_UNREADABLE, str(error)) from error

    def _device_of(self, spec: SessionSpec) -> Device | None:
        """Return what a session says of itself; None: as others do. Raises StartError."""
        if not spec.sealed_device:
            return None
        try:
            text = self._vault.open_device(spec.sealed_device, session_id=spec.session)
            return parse_device(text)
        except (SecretError, UsageError) as error:
            raise StartError(FailureReason.LOGIN_UNREADABLE, str(error)) from error

    def _start_done(self, resident: Resident[HostedSession], task: asyncio.Task[None]) -> None:
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is not None:
            self._spawn(self._clean_up(resident, error), f"clean up {resident.session_id}")
            return
        assert resident.session is not None
        now = self._environment.clock.monotonic()
        resident.session.next_poll = now + self._settings.poll_seconds
        self.do(self._residents.started(resident))
        if resident.phase is Phase.RUNNING:
            with contextlib.suppress(OSError):
                os.write(self._settled_pipe, f"{resident.session_id}\n".encode())

    async def _clean_up(self, resident: Resident[HostedSession], error: BaseException) -> None:
        """Close what a start that failed or was cancelled has left."""
        if resident.session is not None:
            await self._disconnect(resident.session)
            # Where it began is stored too: its next start must not begin at a later now.
            await self._commit_last(resident.session)
        failure = None
        if resident.phase is Phase.STARTING or not isinstance(error, asyncio.CancelledError):
            failure = why_it_failed(error)
            log.warning(
                "session_start_failed",
                session=resident.session_id,
                epoch=resident.epoch,
                reason=failure.reason,
                text=failure.text,
            )
        self.ended += 1
        self.do(self._residents.ended(resident, failure))

    async def _stop(self, resident: Resident[HostedSession]) -> None:
        """Stop a session that has started, and commit what it has settled."""
        session = resident.session
        assert session is not None
        self.catching_up.discard(session.session_id)
        await self._ending(session.session_id)
        await self._disconnect(session)
        await self._commit_last(session)
        self.ended += 1
        if due := session.next_due():
            self._due[session.session_id] = due
        self.do(self._residents.ended(resident))
        self._due.pop(session.session_id, None)

    async def _commit_last(self, session: HostedSession) -> None:
        """Commit what a session has settled; the next owner sends the rest again.

        A send that is repeated has the same random_id, so nothing is doubled.
        """
        try:
            await self._commits.commit([session])
        except Exception as error:
            # The session has ended all the same, and is reported.
            log.error("last_commit_failed", session=session.session_id, error=repr(error))
        self._commits.forget(session)

    async def _disconnect(self, session: HostedSession) -> None:
        try:
            await session.stop()
        except Exception as error:
            # Its connection is closed all the same.
            log.error("session_stop_failed", session=session.session_id, error=repr(error))

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self.tasks.add(task)
        task.add_done_callback(self._task_done)
        return task

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        # A failed start is logged and reported where it is cleaned up.
        if not task.cancelled() and (error := task.exception()):
            if not task.get_name().startswith("start "):
                log.error("task_failed", task=task.get_name(), error=repr(error))


def why_it_failed(error: BaseException) -> Failure:
    """Return why a session ended: a code, and a text for people."""
    name = error_name(error)
    if is_lost_login(error):
        is_gone = is_banned(name)
        return Failure(FailureReason.ACCOUNT_BANNED if is_gone else FailureReason.LOGIN_LOST, name)
    if isinstance(error, StartError):
        return Failure(error.reason, str(error))
    if isinstance(error, SecretError):
        return Failure(FailureReason.LOGIN_UNREADABLE, str(error))
    if isinstance(error, RPCError):
        seconds = getattr(error, "seconds", None)
        return Failure(FailureReason.TELEGRAM_ERROR, f"{name} ({seconds} s)" if seconds else name)
    if (of_proxy := proxy_error_in(error)) is not None:
        return Failure(of_proxy.reason, str(of_proxy))
    if isinstance(error, TimeoutError):
        return Failure(FailureReason.START_TIMEOUT)
    if isinstance(error, OSError | EOFError):
        return Failure(FailureReason.CONNECTION_FAILED, f"{name}: {error}")
    return Failure(FailureReason.INTERNAL_ERROR, f"{name}: {error}")
