"""Reads the counters that Redis has, and refuses those that are not credible.

Redis may know a generation that SQL does not, when SQL was restored from a backup. Whoever
writes to Redis could use up the generations by such numbers, so it needs a coordinator's
proof (``generation_proof``).
"""

from __future__ import annotations

import redis
import structlog

from afx.cluster import fields, keys
from afx.cluster.generation_proof import proved
from afx.cluster.quarantine import quarantine, refused
from afx.security.signing import SigningKeys

log = structlog.get_logger()


def read_generation(client: redis.Redis, signing_keys: SigningKeys, *, in_sql: int) -> int:
    """Return the highest generation that Redis knows and SQL or a proof shows; 0 for none."""
    # Answers None for a key of another type.
    text, proof = client.mget([keys.GENERATION, keys.GENERATION_PROOF])
    shown = proved(signing_keys, str(proof or ""))
    if text is None:
        return shown
    generation = fields.integer(text)
    if generation is not None and 0 <= generation <= max(in_sql, shown):
        return max(generation, shown)
    log.error("counter_refused", key=keys.GENERATION, value=str(text)[:100], in_sql=in_sql)
    reason = f"not a generation that has begun: SQL knows {in_sql}, and no proof shows it"
    quarantine(client, [refused(keys.GENERATION, reason, str(text))])
    return shown
