"""Worker nodes as Redis knows them: registration, heartbeats, views."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import redis

from afx.cluster import keys
from afx.cluster.hashes import read_hashes
from afx.cluster.scripts import FencedScript, source
from afx.errors import AfxError, FencedError

WorkerState = Literal["ready", "cordoned", "draining", "stopping", "recycling", "fenced", "left"]
_STATES = ("ready", "cordoned", "draining", "stopping", "recycling", "fenced", "left")
LIVE_STATES = ("ready", "cordoned", "draining", "stopping", "recycling")
UNREADABLE_SEQ = -1
"""The heartbeat counter of a record whose own is malformed."""
_INTEGERS = (
    "seq",
    "max_sessions",
    "assigned",
    "reserved",
    "rss",
    "ram_free",
    "ram_limit",
    "sessions",
    "starting",
    "forwarded",
)


@dataclass(slots=True, frozen=True)
class Metrics:
    """What a node reports of itself with each heartbeat."""

    rss: int
    """Bytes used by its processes."""
    ram_free: int
    """Bytes that it may still use."""
    ram_limit: int
    cpu: float
    """Share of the machine's CPU time that its processes use, 0 to 1."""
    sessions: int
    """Sessions that run."""
    starting: int
    forwarded: int
    """Messages forwarded since its start."""

    @property
    def load(self) -> float:
        """How full the node is, 0 to 1: its scarcest resource."""
        used = 1 - self.ram_free / self.ram_limit if self.ram_limit else 0.0
        return max(0.0, min(1.0, max(used, self.cpu)))


@dataclass(slots=True, frozen=True)
class Identity:
    """What identifies a node; fixed for one incarnation."""

    name: str
    incarnation: str
    hostname: str
    boot_id: str
    pid_namespace: str
    processes: str
    """``pid:start,…`` of its processes; when all are gone, it is dead."""
    max_sessions: int
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True, frozen=True)
class WorkerView:
    """One node as the registry shows it."""

    name: str
    incarnation: str
    state: WorkerState
    seq: int
    hostname: str
    boot_id: str
    pid_namespace: str
    processes: str
    max_sessions: int
    assigned: int
    reserved: int
    ended: str
    """The previous incarnation of that name, if it left by itself."""
    seen: str
    """The desired state that the node has acknowledged with a heartbeat."""
    metrics: Metrics
    labels: Mapping[str, str] = field(default_factory=dict)
    reconciled_term: int = 0
    """The term of the leader that last set its counts to what SQL says; 0: none has."""


class MissingError(AfxError):
    """Redis has no record of a node that is registered: it has lost its data."""


class Registry:
    """Reads and writes the nodes' records.

    Methods with a ``term`` are the leader's; they raise FencedError when a newer
    term has begun.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
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
        Redis; see ``node_faults``. Raises FencedError when this
        incarnation has been declared dead or replaced, MissingError when Redis
        has lost the node.
        """
        ids = list(settled)
        answer = self._beat(
            keys=[keys.worker(identity.name), keys.LOAD, keys.TERM],
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
        return _integer(answer[1]) or 0, state if state in _STATES else seen

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
        return self._views(self._redis.smembers(keys.WORKERS))

    def on_machine(self, boot_id: str) -> list[WorkerView]:
        """Return the nodes that were registered on one machine since its boot."""
        return self._views(self._redis.smembers(keys.machine(boot_id)))

    def _views(self, names: Any) -> list[WorkerView]:
        records = read_hashes(self._redis, {it: keys.worker(it) for it in sorted(names)})
        return [
            _view(name, fields)
            for name, fields in records.items()
            if "seq" in fields and "incarnation" in fields
        ]


def _declared_dead(name: str) -> FencedError:
    return FencedError(f"Node {name} was declared dead; this incarnation must stop.")


def _flat(metrics: Metrics) -> list[Any]:
    flat: list[Any] = []
    for name in Metrics.__slots__:
        flat += (name, getattr(metrics, name))
    return flat


def _view(name: str, fields: Mapping[str, str]) -> WorkerView:
    """Return a node's record; a field that is malformed gets a harmless value.

    The node stays in sight, full and without a new heartbeat: one that seemed to be
    missing would be replaced while it runs.
    """
    integers = {it: _integer(fields.get(it, "")) for it in _INTEGERS}
    numbers = {it: value or 0 for it, value in integers.items()}
    if None in integers.values():
        numbers["max_sessions"] = max(1, numbers["max_sessions"])
        numbers["assigned"] = max(numbers["assigned"], numbers["max_sessions"])
    state = fields.get("state", "")
    seq = integers["seq"]
    return WorkerView(
        name=name,
        incarnation=fields["incarnation"],
        state=state if state in _STATES else "cordoned",  # type: ignore[arg-type]
        seq=UNREADABLE_SEQ if seq is None else seq,
        hostname=fields.get("hostname", ""),
        boot_id=fields.get("boot_id", ""),
        pid_namespace=fields.get("pid_namespace", ""),
        processes=fields.get("processes", ""),
        max_sessions=numbers["max_sessions"],
        assigned=numbers["assigned"],
        reserved=numbers["reserved"],
        ended=fields.get("ended", ""),
        seen=fields.get("seen", ""),
        metrics=Metrics(
            rss=numbers["rss"],
            ram_free=numbers["ram_free"],
            ram_limit=numbers["ram_limit"],
            cpu=_share(fields.get("cpu", "")),
            sessions=numbers["sessions"],
            starting=numbers["starting"],
            forwarded=numbers["forwarded"],
        ),
        labels=_labels(fields.get("labels", "")),
        reconciled_term=_integer(fields.get("reconciled_term", "0")) or 0,
    )


def _integer(text: str) -> int | None:
    found = re.fullmatch(r"-?[0-9]{1,18}", text, re.ASCII)
    return int(text) if found else None


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if math.isfinite(value) else 0.0


def _labels(text: str) -> dict[str, str]:
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {str(key): value for key, value in found.items() if isinstance(value, str)}
