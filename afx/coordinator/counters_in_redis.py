"""Reads the counters that Redis has, and refuses those that are not credible."""

from __future__ import annotations

import redis
import structlog

from afx.cluster import fields, keys
from afx.cluster.quarantine import quarantine, refused
from afx.coordinator.decisions import counters

log = structlog.get_logger()


def read_generation(client: redis.Redis, *, in_sql: int) -> int:
    """Return the highest generation that Redis knows; 0 for one that is not credible."""
    [text] = client.mget([keys.GENERATION])  # answers None for a key of another type
    if text is None:
        return 0
    generation = fields.integer(text)
    if generation is not None and counters.is_credible_generation(generation, in_sql):
        return generation
    log.error("counter_refused", key=keys.GENERATION, value=str(text)[:100], in_sql=in_sql)
    reason = f"not a generation that has begun: SQL knows {in_sql}"
    quarantine(client, [refused(keys.GENERATION, reason, str(text))])
    return 0
