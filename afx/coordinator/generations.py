"""How a term begins: a generation of epochs above all others, and what earlier terms left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import redis
import structlog

from afx.cluster import keys, replication
from afx.cluster.generation_proof import prove
from afx.cluster.leadership import Leadership
from afx.cluster.scripts import FencedScript
from afx.coordinator import counters_in_redis
from afx.security.signing import SigningKeys
from models.storage import cluster

log = structlog.get_logger()


@dataclass(slots=True, frozen=True)
class Begun:
    """A generation of epochs that has begun."""

    generation: int
    proof: str
    """What shows to others that a coordinator has begun it."""
    unsettled_seconds: float
    """For so long nodes may run of which Redis knows nothing, since it has lost its data:
    such a node registers again, or its lease ends."""


def begin(
    client: redis.Redis,
    leadership: Leadership,
    signing_keys: SigningKeys,
    takeover_seconds: float,
) -> Begun:
    """Begin a generation of epochs, above all that SQL knows or Redis shows."""
    before = cluster.generation()
    known = counters_in_redis.read_generation(client, signing_keys, in_sql=before)
    generation = cluster.begin_generation(leadership.term, known, run_id=leadership.run_id)
    proof = prove(signing_keys, generation)
    leadership.commits = cluster.commits()
    is_old = known < before or may_be_old(client, leadership)
    longest = round(takeover_seconds * 1000)
    # Before the first generation nothing was ever started, as far as SQL knows.
    most = longest if before else 0
    left = FencedScript(client, "begin_generation")(
        leadership.term,
        keys=[keys.GENERATION, keys.UNSETTLED, keys.GENERATION_PROOF],
        # A Redis that is back from an old file has lost data, too.
        args=[generation, most, int(is_old), proof],
    )
    return Begun(generation, proof, min(max(int(left), 0), longest) / 1000)


def may_be_old(client: redis.Redis, leadership: Leadership) -> bool:
    """Return whether Redis was started anew, and may be minutes old although its generation is not.

    It stores snapshots alone, and what came after the last one is lost. With an append-only
    file, or as a replica that became the primary, it has lost a second or two.
    """
    if not _is_another(leadership):
        return False
    info: Any = client.info("persistence")
    return str(info.get("aof_enabled")) == "0"


def _is_another(leadership: Leadership) -> bool:
    """Return whether Redis is another process than the one that the last leader used."""
    return cluster.last_run_id() not in ("", leadership.run_id)


def split_seconds(client: redis.Redis, leadership: Leadership) -> float:
    """Return for how long an earlier primary of Redis may renew leases after this moment."""
    found = replication.read(client)
    if found.fault:
        log.error("redis_may_split", fault=found.fault, remedy=found.remedy)
    return found.split_seconds if _is_another(leadership) else 0.0
