"""The cluster as a whole: its status, and its activity as it happens."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from afx.cluster import audit_heads, events, keys, refused_jobs, refused_specs
from afx.cluster.leadership import read_leader
from afx.cluster.quarantine import refused_count
from afx.cluster.redis_faults import describe
from afx.cluster.registry import Registry
from afx.cluster.task_jobs import PRIORITIES
from afx.cluster.worker_records import LIVE_STATES, WorkerView
from afx.operations.context import Context, operation
from afx.operations.coordinators import read_number
from models.base import utc_now
from models.storage import controls, sessions, tasks


@dataclass(slots=True, frozen=True)
class ClusterStatus:
    """The cluster in a few figures."""

    leader: str | None
    """``host:pid``; None: no leader."""
    term: int
    nodes: int
    """Live ones."""
    nodes_known: int
    not_ready: Mapping[str, str]
    """Live nodes in another state than ready, by name."""
    redis_faults: Mapping[str, str]
    """What hinders live nodes' use of Redis, by node, for people; only nodes with a fault."""
    sessions: Mapping[str, int]
    """By state; only states that occur."""
    waiting: int
    """Sessions in the overflow queue."""
    troubled: int
    forwarded: int
    """Messages forwarded by the live nodes since they started."""
    controls: int
    """Those that are not finished."""
    reports_refused: int
    """Records in Redis that did not parse."""
    jobs_refused: int
    """Jobs in Redis that are not signed, or not for their node."""
    specs_refused: int
    """Specs of sessions in Redis that are not signed, or not for their assignment."""
    audit_fault: str
    """What the leader found wrong with the audit log; empty: nothing."""
    sandbox: bool
    """Whether a local Telegram runs in this home."""
    queue_ages: Mapping[str, float] = field(default_factory=dict)
    """Seconds for which the oldest task of each queue has been ready to run; only queues
    in which one waits."""


@dataclass(slots=True, frozen=True)
class NodeActivity:
    """One node between two samples."""

    name: str
    state: str
    load: float
    rss: int
    ram_free: int
    cpu: float
    sessions: int
    starting: int
    max_sessions: int
    forwarded: int
    per_second: float
    """Messages forwarded a second since the sample before."""
    live: bool


@dataclass(slots=True, frozen=True)
class ActivitySample:
    """All nodes at one instant, the busiest first, and the events since the sample before."""

    nodes: tuple[NodeActivity, ...]
    events: tuple[Mapping[str, Any], ...]


@operation("cluster:read")
def status(context: Context) -> ClusterStatus:
    """Return the cluster's status."""
    client = context.servers.redis()
    leader = read_leader(client)
    nodes = Registry(client).all()
    live = [it for it in nodes if it.state in LIVE_STATES]
    states = sessions.count_by_state()
    troubled = states.pop("troubled")
    return ClusterStatus(
        leader=leader.name if leader else None,
        term=read_number(client, keys.TERM),
        nodes=len(live),
        nodes_known=len(nodes),
        not_ready={it.name: it.state for it in live if it.state != "ready"},
        redis_faults={it.name: describe(it.redis_fault) for it in live if it.redis_fault},
        sessions={state: count for state, count in states.items() if count},
        waiting=states["waiting"],
        troubled=troubled,
        forwarded=sum(it.metrics.forwarded for it in live),
        controls=len(controls.open_ones()),
        queue_ages=_queue_ages(),
        reports_refused=refused_count(client),
        jobs_refused=refused_jobs.count(client),
        specs_refused=refused_specs.count(client),
        audit_fault=audit_heads.read_fault(client),
        sandbox=(context.settings.home / "sandbox.json").exists(),
    )


@operation("cluster:read", database=False)
def recent_events(context: Context, limit: int = 100) -> tuple[Mapping[str, Any], ...]:
    """Return the last events, the newest first."""
    return tuple(events.recent(context.servers.redis(), limit))


@operation("cluster:read", database=False)
def events_after(
    context: Context, last_id: str, *, wait_seconds: float = 0.0
) -> tuple[str, tuple[Mapping[str, Any], ...]]:
    """Return (the last id, the events after ``last_id``); it waits so long for the first one."""
    last, found = events.watch(context.servers.redis(), last_id, wait_seconds=wait_seconds)
    return last, tuple(found)


@operation("cluster:read", database=False)
def event_position(context: Context, last_id: str) -> str:
    """Return after which id events are new: ``last_id``, or the newest id of all.

    The newest without an id, and in another Redis, whose clock has gone back.
    """
    newest = events.newest(context.servers.redis())
    return newest if not last_id or events.is_before(newest, last_id) else last_id


@operation("cluster:read", database=False)
def activity(
    context: Context, *, clock: Callable[[], float] = time.monotonic
) -> Iterator[ActivitySample]:
    """Yield a sample of all nodes each time the caller asks for one."""
    return _samples(context, clock)


def _queue_ages() -> dict[str, float]:
    now = utc_now()
    return {
        PRIORITIES[priority]: round(max(0.0, (now - since).total_seconds()), 3)
        for priority, since in sorted(tasks.oldest_by_priority().items())
    }


def _samples(context: Context, clock: Callable[[], float]) -> Iterator[ActivitySample]:
    client = context.servers.redis()
    registry = Registry(client)
    last = events.newest(client)
    before: dict[str, tuple[float, int]] = {}
    while True:
        now = clock()
        nodes = []
        for it in registry.all():
            at, count = before.get(it.incarnation, (now, it.metrics.forwarded))
            rate = (it.metrics.forwarded - count) / (now - at) if now > at else 0.0
            before[it.incarnation] = (now, it.metrics.forwarded)
            nodes.append(_activity(it, rate))
        nodes.sort(key=lambda it: (-it.load, it.name))
        last, fresh = events.watch(client, last)
        yield ActivitySample(tuple(nodes), tuple(fresh))


def _activity(node: WorkerView, rate: float) -> NodeActivity:
    metrics = node.metrics
    return NodeActivity(
        name=node.name,
        state=node.state,
        load=round(metrics.load, 3),
        rss=metrics.rss,
        ram_free=metrics.ram_free,
        cpu=metrics.cpu,
        sessions=metrics.sessions,
        starting=metrics.starting,
        max_sessions=node.max_sessions,
        forwarded=metrics.forwarded,
        per_second=round(rate, 1),
        live=node.state in LIVE_STATES,
    )
