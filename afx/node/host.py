"""The host process: an asyncio loop in which a node's sessions run.

It starts and stops sessions as the coordinator orders, and ends itself when the lease
that its supervisor holds has run out. The parts:

- ``Residents`` decides what happens to each session, ``SessionRunner`` carries it out;
- ``CommitLoop`` stores progress, ``ReportSender`` reports;
- ``LeaseWatch`` is what makes it all safe.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
from collections.abc import Callable, Coroutine, Iterable
from typing import Any
from zlib import crc32

import structlog

from afx.clock import SYSTEM_CLOCK, Clock
from afx.cluster.connection import connect_async
from afx.cluster.pools import PoolStore
from afx.node import backfilling
from afx.node.commit_loop import CommitLoop
from afx.node.committer import Committer, link_seconds
from afx.node.environment import Environment
from afx.node.guarded_chats import GuardedChats
from afx.node.heap import Heap, give_back_memory
from afx.node.lease_memory import LeaseMemory
from afx.node.lease_watch import LeaseWatch
from afx.node.link_reader import LinkReader
from afx.node.outputs import Outputs
from afx.node.pool_desk import PoolDesk
from afx.node.pool_senders import PoolSenders
from afx.node.progress import Totals
from afx.node.redis_trouble import RedisTrouble
from afx.node.report_sender import ReportSender
from afx.node.residents import Action, Residents
from afx.node.rule_counts import RuleCounts
from afx.node.session import HostedSession
from afx.node.session_runner import SessionRunner, why_it_failed
from afx.node_settings import NodeSettings
from afx.reasons import TroubleReason
from afx.security.login_servers import parse_networks
from afx.security.vault import Vault
from afx.tasks.executor import TaskExecutor
from afx.telegram.transport import guarded_connection

_POLL_SECONDS = 1.0
_ACTIVITY_SECONDS = 20.0
_CATCH_UP_SECONDS = 0.25
_COUNTS_SECONDS = 30.0
_HEAP_SECONDS = 5.0
_CANCEL_SECONDS = 0.2

log = structlog.get_logger()


class Host:
    """The sessions of one incarnation of a node."""

    def __init__(
        self,
        settings: NodeSettings,
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
        self._poll_seconds = settings.poll_seconds
        self._clock = clock
        self._redis = connect_async(redis_url)
        self._residents: Residents[HostedSession] = Residents()
        self._totals = Totals(RuleCounts(clock))
        self._heap = Heap(gc, give_back_memory)
        self._memory = memory
        # Not all nodes of a cluster that was started at once report together.
        self._counts_seconds = _COUNTS_SECONDS * (1 - crc32(incarnation.encode()) / 2**33)
        self._term = 0
        self._closing = asyncio.Event()
        self._empty = asyncio.Event()
        """Set once all sessions have ended after ``close``."""
        self._active: dict[int, int] = {}
        """session → how many messages it had sent at the last report of activity."""
        self.redis_trouble = RedisTrouble(memory.note_redis_fault)
        self.reports = ReportSender(self._redis, node, incarnation, self.redis_trouble)
        self._lease = LeaseWatch(
            memory,
            clock,
            sessions=self._residents.sessions,
            counts=self._counts,
            exit_process=exit_process,
        )
        self._commits = CommitLoop(
            Committer(self._redis, node, incarnation, settings.link_days),
            memory,
            self.redis_trouble,
            flush_seconds=settings.flush_seconds,
            sessions=self._residents.sessions,
            fenced=self._note_fenced,
        )
        self._chats = GuardedChats(self._redis, self.redis_trouble, lambda: memory.losses)
        self._outputs = Outputs(
            directory=settings.output_directory,
            networks=parse_networks(settings.webhook_networks),
            secrets=vault.output_secrets,
            may_write=self._lease.may_write,
        )
        self._pools = PoolDesk(
            PoolStore(self._redis, link_seconds(settings.link_days)),
            vault,
            incarnation,
            self.redis_trouble,
            clock.monotonic,
        )
        self.senders = PoolSenders(self._pools, self._residents.session)
        environment = Environment(
            api_id=settings.api_id,
            api_hash=settings.api_hash,
            connection=guarded_connection(
                self._lease.may_write, settings.login_servers.allows, settings.lease.in_flight
            ),
            may_write=self._lease.may_write,
            links=LinkReader(self._redis, self.redis_trouble),
            chats=self._chats,
            store=self._commits.commit_fully,
            dirty=self._commits.note_dirty,
            gave_up=self._note_gave_up,
            trouble=self._note_trouble,
            rule_changed=lambda it, rule, trouble: self.reports.rule(
                it.session_id, it.epoch, rule, trouble
            ),
            login_limit=lambda it, days: self.reports.login_limit(it.session_id, it.epoch, days),
            clock=clock,
            rng=rng or random.Random(),
            totals=self._totals,
            outputs=self._outputs,
            pools=self._pools,
            sealer=vault,
        )
        self._runner = SessionRunner(
            self._residents,
            client=self._redis,
            settings=settings,
            vault=vault,
            environment=environment,
            lease=self._lease,
            commits=self._commits,
            reports=self.reports,
            trouble=self.redis_trouble,
            settled_pipe=settled_pipe,
            changed=self._note_changed,
            ending=self._note_ending,
        )
        self.tasks = TaskExecutor(
            self._redis,
            node=node,
            incarnation=incarnation,
            vault=vault,
            reports=self.reports,
            trouble=self.redis_trouble,
            session=self._residents.session,
            may_take=lambda: not self._closing.is_set() and not self._lease.paused,
            slots=settings.task_slots,
            exports=settings.home / "exports",
            wall_clock=clock.time,
            arrivals=lambda: self._totals.arrivals,
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
        self._runner.do(actions)
        return {"accepted": accepted, "refused": refused}

    async def order_stop(self, term: int, items: list[tuple[int, int]]) -> dict[str, list[int]]:
        """Stop sessions, given as (session, epoch); each is reported when it has.

        The term may be an older one: see ``order_inventory``.
        """
        self._term = max(term, self._term)
        for session_id, epoch in items:
            self._runner.do(self._residents.order_stop(session_id, epoch))
        return {"accepted": [session_id for session_id, _ in items], "refused": []}

    async def order_renew(self, term: int, items: list[tuple[int, int]]) -> dict[str, list[int]]:
        """Read filters and transforms of sessions anew, given as (session, epoch)."""
        if term < self._term:
            return {"accepted": [], "refused": [session_id for session_id, _ in items]}
        self._runner.renew(items)
        return {"accepted": [session_id for session_id, _ in items], "refused": []}

    async def order_inventory(self, term: int) -> dict[str, list[int]]:
        """Report all sessions that have not ended: SQL may not know them.

        A leader of an older term is told, too. SQL and Redis may both have lost terms, and
        the leader would start elsewhere what it does not know to run here.
        """
        self._term = max(term, self._term)
        running = self._residents.inventory()
        self.reports.inventory(term, running, proof=self._runner.generation_proof)
        return {"accepted": [], "refused": []}

    async def order_cancel(self, tasks: list[tuple[int, int]]) -> dict[str, list[int]]:
        """Cancel tasks, given as (task, publication); each is reported when it has ended.

        What a session does for one that does not run any more is ended, too.
        """
        self.tasks.cancel(tasks)
        if over := self.tasks.not_running(tasks):
            for session in self._residents.sessions():
                backfilling.end_now(session, over)
        return {"accepted": [task_id for task_id, _ in tasks], "refused": []}

    def close(self) -> None:
        """Stop all sessions, commit and report; then ``run`` returns."""
        self._closing.set()
        self._runner.do(self._residents.close())

    # --- events of sessions ---------------------------------------------------------

    def _note_gave_up(self, session: HostedSession, error: BaseException) -> None:
        failure = why_it_failed(error)
        log.warning(
            "session_lost", session=session.session_id, reason=failure.reason, text=failure.text
        )
        self._runner.do(self._residents.gave_up(session.session_id, session.epoch, failure))

    def _note_fenced(self, session: HostedSession) -> None:
        self._runner.do(self._residents.fenced(session.session_id, session.epoch))

    async def _note_ending(self, session_id: int) -> None:
        self.tasks.release_session(session_id)
        await self.senders.end_session(session_id)

    def wake(self) -> None:
        """Look for tasks, and for orders of pools, now."""
        self.tasks.wake()
        self.senders.wake()

    def _note_changed(self) -> None:
        if self._closing.is_set() and not self._residents.alive:
            self._empty.set()

    def _note_trouble(self, session: HostedSession, reason: TroubleReason, text: str) -> None:
        self.reports.trouble(session.session_id, session.epoch, reason, text)

    # --- all the time -----------------------------------------------------------------

    async def run(self) -> None:
        """Serve until ``close`` has been called and all sessions have ended."""
        asyncio.get_running_loop().set_exception_handler(_on_loop_error)
        loops: Iterable[Coroutine[Any, Any, None]] = (
            self._lease.run(),
            self._commits.run(),
            self._chats.run(),
            self.reports.run(),
            *self.tasks.loops(),
            self.senders.run(),
            self._every(_POLL_SECONDS, self._poll),
            self._every(_ACTIVITY_SECONDS, self._report_activity),
            self._every(_CATCH_UP_SECONDS, self._report_caught_up),
            self._every(self._counts_seconds, self._report_counts),
            self._every(_HEAP_SECONDS, self._tend_heap),
        )
        running = [asyncio.create_task(it) for it in loops]
        empty = asyncio.create_task(self._empty.wait())
        try:
            await asyncio.wait([*running, empty], return_when=asyncio.FIRST_COMPLETED)
            for task in running:
                if task.done():
                    task.result()
            await self.tasks.close()
            await self.senders.close()
            self._outputs.close()
            self._report_counts()
            # The supervisor bounds the time: it ends a host that takes too long to stop.
            await self.reports.flush_fully()
        finally:
            await _cancel({*running, empty, *self._runner.tasks})
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
                session.next_poll = now + self._poll_seconds
                session.poll()

    def _report_activity(self) -> None:
        """Report which sessions have forwarded anything since the last time."""
        before = self._active
        self._active = {it.session_id: it.sent for it in self._residents.sessions()}
        active = [it for it, sent in self._active.items() if sent > before.get(it, 0)]
        if active:
            self.reports.active(tuple(active))

    def _report_counts(self) -> None:
        """Report what became of messages since the last time, by rule."""
        self.reports.rules_counted(self._totals.rules.take())

    def _report_caught_up(self) -> None:
        """Report once of each session that it has worked off what it had missed.

        With it goes whether it has forwarded anything: it may sleep before the next report.
        """
        waiting = self._runner.catching_up
        if not waiting:
            return
        sessions = {it: self._residents.session(it) for it in waiting}
        done = {k: it for k, it in sessions.items() if it is not None and it.has_caught_up}
        self._runner.catching_up = {k for k, it in sessions.items() if it and k not in done}
        if done:
            if active := tuple(session_id for session_id, it in done.items() if it.sent):
                self.reports.active(active)
            self.reports.caught_up({session_id: it.epoch for session_id, it in done.items()})

    def _tend_heap(self) -> None:
        self._heap.step(self._residents.alive, self._runner.ended)
        if self._memory.short_of_ram:
            self._heap.trim(self._clock.monotonic())

    def _counts(self) -> tuple[int, int, int]:
        starting = self._residents.starting
        return self._residents.alive - starting, starting, self._totals.forwarded


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
