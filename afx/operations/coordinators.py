"""The coordinators: which one leads, and restarting all of them."""

from __future__ import annotations

from dataclasses import dataclass

import redis

from afx.cluster import fields, keys, standbys
from afx.cluster.leadership import read_leader
from afx.operations.changes import change
from afx.operations.context import Context, operation
from afx.operations.requests import Requested
from models.storage import cluster, controls
from models.storage.control_subjects import CoordinatorsSubject


@dataclass(slots=True, frozen=True)
class CoordinatorStatus:
    """Which coordinator leads, and since when; which ones stand by."""

    leader: str | None
    """``host:pid``; None: no leader."""
    term: int
    term_in_sql: int
    generation: int
    standbys: tuple[str, ...] = ()
    """Those that would lead next, as ``host:pid``, by name; one that died counts for 10 s."""


@operation("coordinator:read")
def status(context: Context) -> CoordinatorStatus:
    """Return which coordinator leads, and since which term, and which ones stand by."""
    client = context.servers.redis()
    leader = read_leader(client)
    return CoordinatorStatus(
        leader=leader.name if leader else None,
        term=read_number(client, keys.TERM),
        term_in_sql=cluster.term(),
        generation=read_number(client, keys.GENERATION),
        standbys=standbys.read(client),
    )


@operation("coordinator:write")
def recycle(context: Context) -> Requested:
    """Request that all coordinators restart: standbys first, then the leader."""
    with change(context, "coordinator.recycle", "coordinators") as details:
        control = controls.request(
            kind="recycle", subject=CoordinatorsSubject(), actor=context.actor.name
        )
        details["control"] = control.id
    return Requested("coordinators", control.id)


def read_number(client: redis.Redis, key: str) -> int:
    """Return a counter that Redis holds; 0 for one that is missing or not a number."""
    [text] = client.mget([key])  # answers None for a key of another type
    return fields.integer(text) or 0
