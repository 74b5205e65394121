"""Worker nodes as Redis knows them: registration, heartbeats, views."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import redis

from afx.cluster import keys
from afx.cluster.scripts import source
from afx.errors import AfxError, FencedError

WorkerState = Literal["ready", "cordoned", "draining", "stopping", "recycling", "fenced", "left"]
LIVE_STATES = ("ready", "cordoned", "draining", "stopping", "recycling")


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
    """Who a node is, fixed for one incarnation."""

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
    """The incarnation of that name before, if it left by itself."""
    seen: str
    """The state that the node itself knows: it has heard what is wanted of it."""
    metrics: Metrics
    labels: Mapping[str, str] = field(default_factory=dict)
    counted: int = 0
    """The term of the leader that has counted its sessions; 0: none has."""


class MissingError(AfxError):
    """Redis knows nothing of a node that is registered: it has lost its data."""


class Registry:
    """Reads and writes the nodes' records."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self._register = client.register_script(source("register"))
        self._beat = client.register_script(source("beat"))
        self._leave = client.register_script(source("leave"))
        self._wish = client.register_script(source("wish"))
        self._correct = client.register_script(source("correct"))
        self._forget = client.register_script(source("forget"))

    def register(self, who: Identity, metrics: Metrics) -> bool:
        """Register an incarnation; False while another one may still live.

        Raises FencedError when this one has been declared dead.
        """
        answer = self._register(
            keys=[
                keys.worker(who.name),
                keys.WORKERS,
                keys.machine(who.boot_id),
                keys.reservations(who.name),
            ],
            args=[
                who.name,
                who.incarnation,
                "hostname",
                who.hostname,
                "boot_id",
                who.boot_id,
                "pid_namespace",
                who.pid_namespace,
                "processes",
                who.processes,
                "max_sessions",
                who.max_sessions,
                "seen",
                "ready",
                "labels",
                json.dumps(dict(who.labels)),
                *_flat(metrics),
            ],
        )
        if answer == "FENCED":
            raise FencedError(f"Node {who.name} was declared dead before it had begun.")
        return bool(answer == "OK")

    def beat(
        self,
        who: Identity,
        metrics: Metrics,
        settled: Iterable[int],
        seen: WorkerState = "ready",
    ) -> tuple[int, WorkerState]:
        """Renew the lease; returns (leader's term, the state wished for).

        ``settled`` are sessions whose memory the RSS now includes, ``seen`` is
        the state that the last beat answered. Raises FencedError when this
        incarnation has been replaced.
        """
        ids = list(settled)
        answer = self._beat(
            keys=[keys.worker(who.name), keys.LOAD, keys.reservations(who.name), keys.TERM],
            args=[
                who.name,
                who.incarnation,
                metrics.load,
                len(ids),
                *ids,
                "seen",
                seen,
                *_flat(metrics),
            ],
        )
        if answer[0] == "MISSING":
            raise MissingError(f"Redis has lost what it knew of node {who.name}.")
        if answer[0] == "FENCED":
            raise FencedError(f"Node {who.name} was declared dead and must stop.")
        return int(answer[1]), answer[2]

    def leave(self, name: str, incarnation: str) -> None:
        """Say that this incarnation has stopped all its sessions and ends."""
        self._end(name, incarnation, "left", "")

    def fence(self, name: str, incarnation: str, term: int, seq: int | None = None) -> bool:
        """Bar an incarnation for good; False when another one is registered.

        With ``seq``, only if it is still its last heartbeat: one that came since
        has renewed the lease. Raises FencedError when a newer leader rules.
        """
        answer = self._end(name, incarnation, "fenced", str(term), "" if seq is None else str(seq))
        if answer == "STALE":
            raise FencedError("Another coordinator leads now.")
        return answer == "OK"

    def _end(self, name: str, incarnation: str, state: str, term: str, seq: str = "") -> str:
        answer: str = self._leave(
            keys=[keys.worker(name), keys.LOAD, keys.TERM],
            args=[name, incarnation, state, term, seq],
        )
        return answer

    def wish(self, name: str, incarnation: str, state: WorkerState, term: int) -> bool:
        """Say what is wanted of a live node; False when it lives no more.

        Raises FencedError when a newer leader rules.
        """
        answer = self._wish(
            keys=[keys.worker(name), keys.LOAD, keys.TERM],
            args=[name, incarnation, state, str(term)],
        )
        if answer == "STALE":
            raise FencedError("Another coordinator leads now.")
        return bool(answer == "OK")

    def correct(self, name: str, incarnation: str, sessions: Iterable[int], term: int) -> None:
        """Correct a node's count of sessions and its reservations to what SQL says.

        Raises FencedError when a newer leader rules.
        """
        answer = self._correct(
            keys=[keys.worker(name), keys.reservations(name), keys.TERM],
            args=[incarnation, str(term), *sessions],
        )
        if answer == "STALE":
            raise FencedError("Another coordinator leads now.")

    def forget(self, name: str, term: int) -> None:
        """Remove a dead node's record; one that has begun anew keeps it.

        Raises FencedError when a newer leader rules.
        """
        answer = self._forget(
            keys=[keys.worker(name), keys.reservations(name), keys.WORKERS, keys.TERM],
            args=[name, str(term)],
        )
        if answer == "STALE":
            raise FencedError("Another coordinator leads now.")

    def all(self) -> list[WorkerView]:
        """Return every known node, by name."""
        return self._views(self._redis.smembers(keys.WORKERS))

    def on_machine(self, boot_id: str) -> list[WorkerView]:
        """Return the nodes that were registered on one machine since its boot."""
        return self._views(self._redis.smembers(keys.machine(boot_id)))

    def _views(self, names: Any) -> list[WorkerView]:
        ordered = sorted(names)
        pipe = self._redis.pipeline(transaction=False)
        for name in ordered:
            pipe.hgetall(keys.worker(name))
        return [
            _view(name, held)
            for name, held in zip(ordered, pipe.execute(), strict=True)
            if "seq" in held
        ]


def _flat(metrics: Metrics) -> list[Any]:
    flat: list[Any] = []
    for name in Metrics.__slots__:
        flat += (name, getattr(metrics, name))
    return flat


def _view(name: str, held: Mapping[str, str]) -> WorkerView:
    return WorkerView(
        name=name,
        incarnation=held["incarnation"],
        state=held["state"],  # type: ignore[arg-type]
        seq=int(held["seq"]),
        hostname=held["hostname"],
        boot_id=held["boot_id"],
        pid_namespace=held["pid_namespace"],
        processes=held["processes"],
        max_sessions=int(held["max_sessions"]),
        assigned=int(held["assigned"]),
        reserved=int(held["reserved"]),
        ended=held.get("ended", ""),
        seen=held.get("seen", ""),
        metrics=Metrics(
            rss=int(held["rss"]),
            ram_free=int(held["ram_free"]),
            ram_limit=int(held["ram_limit"]),
            cpu=float(held["cpu"]),
            sessions=int(held["sessions"]),
            starting=int(held["starting"]),
            forwarded=int(held["forwarded"]),
        ),
        labels=json.loads(held.get("labels") or "{}"),
        counted=int(held.get("counted", 0)),
    )
