"""Removes keys that another writer has replaced by a key of another type.

Every command on such a key fails. What was in it is lost already, and all of it comes back:
from SQL, or with the nodes' next heartbeats. The keys of single nodes and sessions are
repaired by the scripts that use them (``lua/spoiled.lua``).
"""

from __future__ import annotations

from collections.abc import Mapping

import redis
import structlog
from rq import Queue
from rq.worker_registration import REDIS_WORKER_KEYS

from afx.cluster import keys, queues
from afx.cluster.quarantine import quarantine, refused

_TYPES: Mapping[str, str] = {
    keys.REPORTS_REFUSED: "stream",
    keys.REPORTS_REFUSED_COUNT: "string",
    keys.JOBS_REFUSED: "stream",
    keys.JOBS_REFUSED_COUNT: "string",
    keys.LEADER: "string",
    keys.TERM: "string",
    keys.GENERATION: "string",
    keys.GENERATION_PROOF: "string",
    keys.UNSETTLED: "string",
    keys.AUDIT_HEAD: "string",
    keys.WORKERS: "set",
    keys.LOAD: "zset",
    keys.REPORTS: "stream",
    keys.EVENTS: "stream",
    keys.LINKED_RULES: "set",
    keys.LINKS_CHANGED: "set",
    keys.LINKS_COMPLETE: "string",
    Queue.redis_queues_keys: "set",
    REDIS_WORKER_KEYS: "set",
    f"{Queue.redis_queue_namespace_prefix}{queues.OVERFLOW}": "list",
}
"""Each key of which there is one, and its type."""

log = structlog.get_logger()


def repair(client: redis.Redis, types: Mapping[str, str] = _TYPES) -> list[str]:
    """Remove the keys whose type is another one; returns them."""
    pipe = client.pipeline(transaction=False)
    for key in types:
        pipe.type(key)
    found = dict(zip(types, (_text(it) for it in pipe.execute()), strict=True))
    wrong = {it: kind for it, kind in found.items() if kind not in (types[it], "none")}
    if wrong:
        client.delete(*wrong)
        for key, kind in wrong.items():
            log.error("key_of_wrong_type", key=key, type=kind)
        quarantine(
            client,
            [refused(it, f"its type is {kind}, not {types[it]}", "") for it, kind in wrong.items()],
        )
    return list(wrong)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
