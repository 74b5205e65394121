"""Worker nodes in Redis: registration, heartbeats, desired states, views."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import redis

from afx.cluster import keys
from afx.cluster.quarantine import Quarantine, Refused, refused
from afx.cluster.redis_faults import RedisFault, fault_of
from afx.cluster.scripts import FencedScript, source
from afx.cluster.worker_records import (
    STATES,
    Identity,
    Metrics,
    WorkerState,
    WorkerView,
    parse_view,
)
from afx.errors import AfxError, FencedError


class MissingError(AfxError):
    """Redis has no record of a node that is registered: it has lost its data."""


class Registry:
    """Reads and writes the nodes' records.

    Methods with a ``term`` are the leader's; they raise FencedError when a newer
    term has begun.
    """

    def __init__(self, client: redis.Redis, quarantine: Quarantine | None = None) -> None:
        """Malformed records are noted in ``quarantine``, if there is one."""
        self._redis = client
        self._quarantine = quarantine
        self._register = client.register_script(source("register"))
        self._beat = client.register_script(source("beat"))
        self._leave = client.register_script(source("leave"))
        self._fence = FencedScript(client, "fence")
        self._set_desired_state = FencedScript(client, "set_desired_state")
        self._reconcile = FencedScript(client, "reconcile")
        self._forget = FencedScript(client, "forget")

    def register(self, identity: Identity, metrics: Metrics) -> bool:
        """Register an incarnation; False while another one may still run.

        Raises FencedError when this one has been declared dead.
        """
        answer = self._register(
            keys=[
                keys.worker(identity.name),
                keys.WORKERS,
                keys.machine(identity.boot_id),
                keys.reservations(identity.name),
            ],
            args=[
                identity.name,
                identity.incarnation,
                "hostname",
                identity.hostname,
                "boot_id",
                identity.boot_id,
                "pid_namespace",
                identity.pid_namespace,
                "processes",
                identity.processes,
                "max_sessions",
                identity.max_sessions,
                "seen",
                "ready",
                "labels",
                json.dumps(dict(identity.labels)),
                "shares",
                identity.shares,
                "replaces",
                identity.replaces,
                "empty_rss",
                identity.empty_rss,
                *_flat(metrics),
            ],
        )
        if answer == "ENDED":
            raise _declared_dead(identity.name)
        return bool(answer == "OK")

    def beat(
        self,
        identity: Identity,
        metrics: Metrics,
        settled: Iterable[int],
        seen: WorkerState = "ready",
        *,
        redis_fault: str = "",
    ) -> tuple[int, WorkerState]:
        """Renew the lease; returns (leader's term, desired state).

        ``settled`` are sessions whose memory the RSS now includes, ``seen`` is
        the state that the last beat answered: it stays the desired one where Redis has
        none that this version knows. ``redis_fault`` is what hinders the node's use of
        Redis, as a RedisFault. Raises FencedError when this incarnation has been
        declared dead or replaced, MissingError when Redis has lost the node.
        """
        ids = list(settled)
        answer = self._beat(
            keys=[keys.worker(identity.name), keys.LOAD, keys.TERM, keys.WORKERS],
            args=[
                identity.name,
                identity.incarnation,
                metrics.load,
                len(ids),
                *ids,
                "seen",
                seen,
                "redis_fault",
                redis_fault,
                *_flat(metrics),
            ],
        )
        if answer[0] == "MISSING":
            raise MissingError(
                f"Redis has lost the record of node {identity.name}; the node registers again."
            )
        if answer[0] == "ENDED":
            raise _declared_dead(identity.name)
        state: WorkerState = answer[2]
        return int(answer[1]), state if state in STATES else seen

    def leave(self, name: str, incarnation: str) -> None:
        """Note that this incarnation has stopped all its sessions and ends."""
        self._leave(keys=[keys.worker(name), keys.LOAD], args=[name, incarnation])

    def fence(
        self, name: str, incarnation: str, *, term: int, run_id: str, seq: int | None = None
    ) -> bool:
        """Fence an incarnation for good; False when another one is registered.

        With ``seq``, only if it is still its last heartbeat: a newer one has
        renewed the lease. ``run_id`` is that of the Redis process in which the term
        began; raises FencedError in any other one.
        """
        answer = self._fence(
            term,
            keys=[keys.worker(name), keys.LOAD],
            args=[run_id, name, incarnation, "" if seq is None else seq],
        )
        return bool(answer == "OK")

    def set_desired_state(self, name: str, incarnation: str, state: WorkerState, term: int) -> bool:
        """Set the desired state of a running node; False when it has ended."""
        answer = self._set_desired_state(
            term, keys=[keys.worker(name), keys.LOAD], args=[name, incarnation, state]
        )
        return bool(answer == "OK")

    def reconcile(self, name: str, incarnation: str, sessions: Iterable[int], term: int) -> None:
        """Set a node's count of sessions and its reservations to what SQL says."""
        self._reconcile(
            term,
            keys=[keys.worker(name), keys.reservations(name)],
            args=[incarnation, *sessions],
        )

    def forget(self, name: str, term: int) -> None:
        """Remove a dead node's record; a new incarnation of that name keeps it."""
        self._forget(
            term,
            keys=[keys.worker(name), keys.reservations(name), keys.WORKERS],
            args=[name],
        )

    def all(self) -> list[WorkerView]:
        """Return every known node, by name."""
        return self._views(keys.WORKERS)

    def on_machine(self, boot_id: str) -> list[WorkerView]:
        """Return the nodes that were registered on one machine since its boot."""
        return self._views(keys.machine(boot_id))

    def _views(self, group: str) -> list[WorkerView]:
        """Return the nodes of a set; what is malformed goes to the quarantine, if there is one.

        A key of another type counts as missing: its node's next heartbeat finds that out,
        and the node registers again.
        """
        names, bad = self._names(group)
        pipe = self._redis.pipeline(transaction=False)
        for name in names:
            pipe.hgetall(keys.worker(name))
        views: list[WorkerView] = []
        for name, record in zip(names, pipe.execute(raise_on_error=False), strict=True):
            if isinstance(record, redis.ResponseError):
                bad.append(refused(keys.worker(name), "not a hash", str(record)))
            elif isinstance(record, Exception):
                raise record
            elif record:
                try:
                    views.append(parse_view(name, record))
                except ValueError as error:
                    bad.append(refused(keys.worker(name), str(error), ""))
        for it in views:
            if it.faults:
                reason = f"malformed: {', '.join(it.faults)}"
                bad.append(refused(keys.worker(it.name), reason, it.incarnation))
        if bad and self._quarantine:
            self._quarantine.note(bad)
        return views

    def _names(self, group: str) -> tuple[list[str], list[Refused]]:
        try:
            return sorted(str(it) for it in self._redis.smembers(group)), []
        except redis.ResponseError as error:
            if fault_of(error) is not RedisFault.WRONG_TYPE:
                raise
            return [], [refused(group, "not a set", str(error))]


def _declared_dead(name: str) -> FencedError:
    return FencedError(f"Node {name} was declared dead; this incarnation must stop.")


def _flat(metrics: Metrics) -> list[Any]:
    flat: list[Any] = []
    for name in Metrics.__slots__:
        flat += (name, getattr(metrics, name))
    return flat
