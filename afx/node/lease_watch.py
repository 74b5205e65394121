"""Ends the host at its lease's deadline, and pauses its sessions before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import structlog

from afx.clock import Clock
from afx.node.lease_memory import LeaseMemory
from afx.node.session import HostedSession

EXIT_LEASE_OVER = 75
_WATCH_SECONDS = 0.1

log = structlog.get_logger()


class LeaseWatch:
    """Watches the lease that the supervisor holds for this host."""

    def __init__(
        self,
        memory: LeaseMemory,
        clock: Clock,
        *,
        sessions: Callable[[], Iterable[HostedSession]],
        counts: Callable[[], tuple[int, int, int]],
        exit_process: Callable[[int], None],
    ) -> None:
        """``counts`` returns (sessions, starting, forwarded) for the supervisor."""
        self._memory = memory
        self._clock = clock
        self._sessions = sessions
        self._counts = counts
        self._exit = exit_process
        self.paused = False
        """The lease was not renewed in time: nothing new is taken on."""

    def may_write(self) -> bool:
        """Return whether this node's lease still lasts."""
        return self._clock.boottime() < self._memory.deadline

    async def run(self) -> None:
        """Watch until the deadline, which ends this process."""
        memory = self._memory
        while True:
            now = self._clock.boottime()
            if now >= memory.deadline:
                # The kernel closes all sockets at once: nothing is faster or surer.
                self._exit(EXIT_LEASE_OVER)
                return
            memory.beat(now, *self._counts())
            if (now >= memory.quiet_from) != self.paused:
                self._set_paused(not self.paused, memory.deadline - now)
            await asyncio.sleep(min(_WATCH_SECONDS, max(0.001, memory.deadline - now)))

    def _set_paused(self, paused: bool, left: float) -> None:
        self.paused = paused
        if paused:
            log.warning("lease_not_renewed", left=round(left, 2))
        for session in list(self._sessions()):
            try:
                session.pause() if paused else session.resume()
            except Exception as error:
                # One session must not keep the others from hearing of it.
                log.error("pause_failed", session=session.session_id, error=repr(error))
