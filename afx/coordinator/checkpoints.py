"""Copies the sessions' cursors from Redis to SQL, and back when Redis lost them.

A copy is some seconds old: a node that begins there sends again what was sent
since, under the same random ids, which Telegram refuses.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import redis
import structlog

from afx.cluster import key_repair, keys
from afx.cluster.leadership import Leadership
from afx.cluster.quarantine import Quarantine, refused
from afx.coordinator.fencing import fenced_transaction
from afx.coordinator.interval import Interval
from afx.errors import FencedError
from models.storage import cursors

_SESSIONS_PER_COPY = 150
_RESTORED_PER_PAGE = 500
_INTERVAL_SECONDS = 0.1
_NUMBER = r"-?[0-9]{1,19}"
_FIELD = re.compile(
    rf"account={_NUMBER}:{_NUMBER}:{_NUMBER}|channel:{_NUMBER}={_NUMBER}|last:{_NUMBER}={_NUMBER}"
    rf"|wait:(?:{_NUMBER}|[a-z]{{1,20}}\.[A-Za-z]{{1,60}})={_NUMBER}"
    rf"|budget:(?:{_NUMBER}|[a-z]{{1,20}}\.[A-Za-z]{{1,60}})=[0-9.]{{1,12}}:[0-9]{{1,11}}"
    r"|budget:joins=[0-9.]{1,8}:[0-9]{1,11}:[0-9]{1,11}"
    rf"|first:{_NUMBER}=[0-9]{{1,12}}"
    rf"|outbox:{_NUMBER}:[0-9]{{1,12}}=[0-9A-Za-z:,;-]{{1,20000}}"
    rf"|lfirst:[sdc][0-9]{{1,10}}:{_NUMBER}=[0-9]{{1,12}}"
    rf"|later:[sdc][0-9]{{1,10}}:{_NUMBER}:[0-9]{{1,12}}=[0-9A-Za-z:,;@+-]{{1,20000}}"
    rf"|cap:[0-9]{{1,10}}:{_NUMBER}=[0-9]{{1,11}}:[0-9]{{1,9}}:[0-9]{{1,11}}:[0-9]{{1,9}}"
    rf"|pool:[0-9]{{1,10}}:{_NUMBER}=1"
    rf"|digested:[0-9]{{1,10}}:{_NUMBER}=[0-9]{{1,10}}"
    rf"|backfill:[0-9]{{1,10}}:{_NUMBER}=[0-9a-z:;-]{{1,20000}}"
    rf"|stuck:{_NUMBER}=[0-9]{{1,10}}:{_NUMBER}:[0-9]{{1,10}}:[a-z ]{{1,20}}"
    r":[0-9]{1,10}:[0-9]{1,6}"
    r"|moved=[0-9A-Za-z._=-]{1,4000}"
    rf"|snap:{_NUMBER}:[0-9]{{1,10}}=[0-9A-Za-z._=-]{{1,65536}}"
    rf"|seen:[0-9]{{1,10}}:[0-9]{{1,12}}=[0-9A-Za-z+/=]{{4,2000}}"
    rf"|near:[0-9]{{1,10}}:[0-9]{{1,12}}=[0-9A-Za-z+/=]{{4,4000}}"
)
"""As ``telegram/session.py``, ``node/waits.py``, ``node/budgets.py``, ``node/outbox.py``,
``node/seen_contents.py``, ``node/snapshots.py``, ``node/digested.py``,
``node/backfill_state.py``, ``node/own_sends.py``, ``node/moved_login.py``, ``node/stuck.py`` and
``node/cap_counts.py`` write a cursor; a later version of a node may use letters in its outbox
that this one does not know."""

log = structlog.get_logger()


class Checkpoints:
    """One leader's copying, a little at a time."""

    def __init__(self, client: redis.Redis, leadership: Leadership) -> None:
        self._redis = client
        self._leadership = leadership
        self._due: dict[int, None] = {}
        self._interval = Interval(_INTERVAL_SECONDS)
        self._quarantine = Quarantine(client)
        self._marker = keys.cursors_restoring(leadership.term)
        self._restored = 0
        self._restored_to: int | None = None
        """The last session whose cursor was restored; None before the first page."""

    def restore_page(self) -> bool:
        """Copy a page of the cursors that SQL has to a Redis that has lost its data.

        Returns whether there may be more. A cursor that a node has written there since is
        newer, and stays. Raises FencedError when Redis loses its data again meanwhile.
        """
        if self._restored_to is None:
            if self._redis.exists(keys.CURSORS_COMPLETE):
                return False
            self._redis.set(self._marker, 1)
            self._restored_to = 0
        self._leadership.check()
        page = cursors.page(self._restored_to, _RESTORED_PER_PAGE)
        if page:
            try:
                self._write(page)
            except redis.ResponseError:
                if not key_repair.repair(self._redis, {keys.cursor(it): "hash" for it in page}):
                    raise
                self._write(page)
            self._restored += len(page)
            self._restored_to = max(page)
            return True
        self._finish_restoring()
        return False

    def _finish_restoring(self) -> None:
        try:
            self._redis.rename(self._marker, keys.CURSORS_COMPLETE)
        except redis.ResponseError as error:
            raise FencedError(
                "Redis lost its data while cursors were restored; a new term begins."
            ) from error
        if self._restored:
            log.warning("cursors_restored", sessions=self._restored, reason="Redis lost its data")

    def _write(self, cursors_of: Mapping[int, Mapping[str, str]]) -> None:
        """Write cursors to Redis, except for the parts that it has."""
        pipe = self._redis.pipeline(transaction=False)
        for session, parts in cursors_of.items():
            for name, value in parts.items():
                pipe.hsetnx(keys.cursor(session), name, value)
        pipe.execute()

    def note(self, sessions: Iterable[int]) -> None:
        """Note that the cursors of these sessions are to be copied soon."""
        self._due.update(dict.fromkeys(sessions))

    def copy(self, now: float) -> None:
        """Copy some of the cursors that are to be copied."""
        if not self._due or not self._interval.is_due(now):
            return
        part = [it for it, _ in zip(self._due, range(_SESSIONS_PER_COPY), strict=False)]
        pipe = self._redis.pipeline(transaction=False)
        for session in part:
            pipe.hgetall(keys.cursor(session))
        found = pipe.execute(raise_on_error=False)
        copied = {
            session: it
            for session, it in zip(part, found, strict=True)
            if self._is_sound(session, it)
        }
        if copied:
            with fenced_transaction(self._leadership):
                cursors.save_many(copied)
        for session in part:
            del self._due[session]

    def _is_sound(self, session: int, answer: Any) -> bool:
        """Return whether a cursor may replace its copy; a malformed one is quarantined."""
        if isinstance(answer, redis.ResponseError):
            reason, shown = "not a hash", str(answer)
        elif isinstance(answer, Exception):
            raise answer
        elif all(_FIELD.fullmatch(f"{name}={value}") for name, value in answer.items()):
            return bool(answer)
        else:
            reason, shown = "malformed", str(answer)
        self._quarantine.note([refused(keys.cursor(session), reason, shown)])
        return False
