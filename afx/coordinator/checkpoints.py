"""Copies the sessions' cursors from Redis to SQL, and back when Redis lost them.

A copy is some seconds old: whoever begins there sends again what was sent since,
under the same random ids, which Telegram refuses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import redis
import structlog

from afx.cluster import keys
from afx.cluster.leadership import Leader
from afx.errors import FencedError
from models.base import transaction
from models.storage import cluster, cursors

_MOST = 500
_EVERY_SECONDS = 0.25

log = structlog.get_logger()


class Checkpoints:
    """One leader's copying, a little at a time."""

    def __init__(self, client: redis.Redis, leader: Leader) -> None:
        self._redis = client
        self._leader = leader
        self._due: dict[int, None] = {}
        self._next = 0.0

    def restore(self) -> None:
        """Give a Redis that has lost its data the cursors that SQL has.

        What a node has written there meanwhile is newer, and stays. Raises
        FencedError when Redis loses its data once more meanwhile.
        """
        if self._redis.exists(keys.CURSORS_KEPT):
            return
        begun = keys.cursors_restoring(self._leader.term)
        self._redis.set(begun, 1)
        count = 0
        for page in cursors.pages():
            self._leader.check()
            pipe = self._redis.pipeline(transaction=False)
            for session, fields in page.items():
                for name, value in fields.items():
                    pipe.hsetnx(keys.cursor(session), name, value)
            pipe.execute()
            count += len(page)
        try:
            self._redis.rename(begun, keys.CURSORS_KEPT)
        except redis.ResponseError as error:
            raise FencedError("Redis lost its data while cursors were restored.") from error
        if count:
            log.warning("cursors_restored", sessions=count, reason="Redis lost its data")

    def note(self, sessions: Iterable[int]) -> None:
        """Let the cursors of these sessions be copied soon."""
        self._due.update(dict.fromkeys(sessions))

    def write(self, now: float) -> None:
        """Copy some of what is due; raises FencedError when a newer leader rules."""
        if not self._due or now < self._next:
            return
        self._next = now + _EVERY_SECONDS
        part = [it for it, _ in zip(self._due, range(_MOST), strict=False)]
        pipe = self._redis.pipeline(transaction=False)
        for session in part:
            pipe.hgetall(keys.cursor(session))
        found: list[Mapping[str, str]] = pipe.execute()
        held = {session: it for session, it in zip(part, found, strict=True) if it}
        if held:
            self._leader.check()
            with transaction():
                cluster.hold(self._leader.term)
                cursors.save_many(held)
        for session in part:
            del self._due[session]
