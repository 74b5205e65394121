"""What the leader does about specs that nodes refused: an audit entry, an event, a count.

The spec itself is written again from SQL when the session is next placed.
"""

from __future__ import annotations

from collections.abc import Sequence

import redis
import structlog

from afx.cluster import events, refused_specs
from afx.cluster.reports import Failed
from models.storage import audit

_LISTED = 100
_ACTOR = "coordinator"

log = structlog.get_logger()


class SpecRefusals:
    """Records the refusals of one term."""

    def __init__(self, client: redis.Redis, audit_key: bytes) -> None:
        self._redis = client
        self._audit_key = audit_key

    def write(self, failed: Sequence[Failed]) -> None:
        """Write an audit entry about the specs among failures; in the caller's transaction.

        One entry for a batch of reports: who can write to Redis cannot flood the log.
        """
        refused = refused_specs.among(failed)
        if not refused:
            return
        listed = [
            {"session": it.session_id, "node": it.node, "reason": it.reason, "detail": it.text}
            for it in refused[:_LISTED]
        ]
        target = f"session/{refused[0].session_id}" if len(refused) == 1 else "session"
        details = {"specs": listed, "count": len(refused)}
        audit.append(_ACTOR, "spec.refused", target, details, self._audit_key)

    def announce(self, failed: Sequence[Failed]) -> None:
        """Quarantine the specs among failures in Redis, and say so; after the commit."""
        refused = refused_specs.among(failed)
        if not refused:
            return
        refused_specs.quarantine(self._redis, refused)
        for it in refused[:_LISTED]:
            log.error("spec_refused", session=it.session_id, node=it.node, reason=it.reason)
        sessions = [it.session_id for it in refused[:_LISTED]]
        events.announce(self._redis, "specs_refused", count=len(refused), sessions=sessions)
