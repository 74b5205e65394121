"""The leader's watch over the audit log: a noted head moves only to what follows from it.

A log whose end was cut off, or rewritten, does not go on from the noted head. Then the
head stays as it is, and status, doctor and the log say what is wrong, until an operator
accepts the log as it is ('afx audit accept').
"""

from __future__ import annotations

from collections.abc import Sequence

import redis
import structlog

from afx.cluster import audit_heads, events, keys
from afx.cluster.audit_heads import HeadState
from afx.cluster.leadership import Leadership
from afx.cluster.writes import write
from afx.coordinator.interval import Interval
from models.storage import audit
from models.storage.audit import Followed

_ENTRIES_PER_CHECK = 200
_BEHIND_SECONDS = 0.25
_FORGED = "the noted head in Redis was changed by somebody without the secret key"

log = structlog.get_logger()


class AuditWatch:
    """One term's watch: some entries at each check, so that a tick stays short."""

    def __init__(
        self,
        client: redis.Redis,
        leadership: Leadership,
        audit_keys: Sequence[bytes],
        *,
        seconds: float,
    ) -> None:
        self._redis = client
        self._leadership = leadership
        self._keys = audit_keys
        self._head: tuple[int, str] | None = None
        """The noted head, once it was read; Redis may lose it during the term."""
        self._fault = ""
        self._interval = Interval(seconds)
        self._behind_interval = Interval(_BEHIND_SECONDS)
        self._behind = False

    def check(self, now: float) -> None:
        """Check what was appended, when a check is due; raises FencedError."""
        due = self._interval.is_due(now)
        if not due and not (self._behind and self._behind_interval.is_due(now)):
            return
        if self._head is None or self._fault:
            # An operator may have accepted another head since.
            noted = audit_heads.read_head(self._redis, self._keys)
            if noted.state is HeadState.FORGED:
                self._note_fault(_FORGED)
                return
            if noted.state is HeadState.NOTED:
                self._head = noted.entries, noted.digest
        head = self._head or audit_heads.BEGINNING
        followed = audit.follow(self._keys, head, limit=_ENTRIES_PER_CHECK)
        self._behind = not followed.complete
        if followed.fault:
            self._note_fault(followed.fault)
        else:
            self._advance(followed)

    def _advance(self, followed: Followed) -> None:
        self._head = followed.entries, followed.digest
        self._fault = ""
        audit_heads.write_head(
            self._redis,
            followed.entries,
            followed.digest,
            audit_key=self._keys[0],
            term=self._leadership.term,
            fault="",
        )

    def _note_fault(self, fault: str) -> None:
        if fault != self._fault:
            log.error("audit_log_damaged", fault=fault)
            events.announce(self._redis, "audit_log_damaged", fault=fault)
        self._fault = fault
        write(self._redis, {keys.AUDIT_FAULT: fault}, self._leadership.term)
