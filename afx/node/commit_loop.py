"""Commits the progress of a host's sessions every fraction of a second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

import redis
import structlog

from afx.cluster.redis_faults import RedisFault, fault_of
from afx.node.committer import Committed, Committer
from afx.node.lease_memory import LeaseMemory
from afx.node.redis_trouble import RedisTrouble
from afx.node.session import HostedSession
from afx.reasons import TroubleReason

_MOST = 500
"""Sessions in one round trip."""
_RETRY_SECONDS = 1.0

log = structlog.get_logger()


class CommitLoop:
    """Knows which sessions have progress to commit, and commits it."""

    def __init__(
        self,
        committer: Committer,
        memory: LeaseMemory,
        trouble: RedisTrouble,
        *,
        flush_seconds: float,
        sessions: Callable[[], Iterable[HostedSession]],
        fenced: Callable[[HostedSession], None],
    ) -> None:
        """``sessions`` returns all; ``fenced`` is called for those that belong to others."""
        self._committer = committer
        self._memory = memory
        self._trouble = trouble
        self._flush_seconds = flush_seconds
        self._sessions = sessions
        self._fenced = fenced
        self._dirty: dict[HostedSession, None] = {}
        self._lock = asyncio.Lock()
        self._malformed: set[HostedSession] = set()
        """Sessions whose progress Redis refuses because of their own keys."""
        self._losses = 0

    def note_dirty(self, session: HostedSession) -> None:
        """A session has progress to commit."""
        self._dirty[session] = None

    def forget(self, session: HostedSession) -> None:
        """A session has ended."""
        self._dirty.pop(session, None)
        self._malformed.discard(session)

    async def run(self) -> None:
        """Commit for ever."""
        while True:
            failing = self._trouble.fault_in("commit") is not None
            await asyncio.sleep(_RETRY_SECONDS if failing else self._flush_seconds)
            try:
                await self._flush()
            except Exception as error:
                # Whatever it is, it must not end the host and all of its sessions.
                self._trouble.failed("commit", error)

    async def _flush(self) -> None:
        if self._losses != self._memory.losses:
            # Redis has lost its data: write all that is known. What a commit under way has
            # taken is known once it was answered: it may have been applied before the loss.
            self._losses = self._memory.losses
            async with self._lock:
                for session in list(self._sessions()):
                    session.mark_all_dirty()
        if self._dirty:
            sessions = list(self._dirty)
            for start in range(0, len(sessions), _MOST):
                # Each part leaves as it is committed: an error in one part must not
                # take the others out of the list. Those that ended have left it.
                part = [it for it in sessions[start : start + _MOST] if it in self._dirty]
                for session in part:
                    del self._dirty[session]
                await self.commit(part)

    async def commit_fully(self, session: HostedSession) -> bool:
        """Commit one session until Redis has taken it; False when it belongs to another node.

        A session that was reported as running before, and whose position were lost,
        would begin at its next owner's own now.
        """
        while True:
            result = await self._commit([session])
            if result is not None and session in result.foreign:
                return False
            if result is not None and result.complete:
                return True
            await asyncio.sleep(self._flush_seconds)

    async def commit(self, sessions: Sequence[HostedSession]) -> bool:
        """Commit some sessions; False when Redis did not take all.

        The rest is tried again later. Should the lease run out meanwhile, the next
        owner replays from the last commit.
        """
        result = await self._commit(sessions)
        return result is not None and result.complete

    async def _commit(self, sessions: Sequence[HostedSession]) -> Committed | None:
        """Commit some sessions; None when Redis gave no answer."""
        async with self._lock:
            try:
                result = await self._committer.commit(sessions)
            except redis.RedisError as error:
                self._trouble.failed("commit", error)
                return None
        self._note_refused(result.refused)
        refused = {session for session, _ in result.refused}
        self._malformed -= {it for it in sessions if it not in refused}
        for session in result.foreign:
            log.warning("session_fenced", session=session.session_id, epoch=session.epoch)
            self._fenced(session)
        return result

    def _note_refused(self, refused: Sequence[tuple[HostedSession, redis.RedisError]]) -> None:
        """Report what Redis refused: of the node, or of one session with malformed keys."""
        of_node = None
        for session, error in refused:
            if fault_of(error) is not RedisFault.WRONG_TYPE:
                of_node = of_node or error
            elif session not in self._malformed:
                self._malformed.add(session)
                session.trouble(TroubleReason.STATE_MALFORMED, str(error))
        if of_node is None:
            self._trouble.passed("commit")
        else:
            self._trouble.failed("commit", of_node)
