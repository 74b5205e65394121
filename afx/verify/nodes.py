"""Tests 1, 2, 4 and 5: nodes, their RAM, and what is cleaned up."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

from afx.cluster import keys
from afx.cluster.leadership import read_leader
from afx.cluster.registry import Registry
from afx.cluster.worker_records import LIVE_STATES, WorkerView
from afx.coordinator.capacity import Capacity, node_loads
from afx.coordinator.decisions import placement, rebalance
from afx.coordinator.decisions.placement import PlacementRequest
from afx.operations import sessions
from afx.verify.canary import Canary, wait
from afx.verify.result import Findings, Target
from models.base import utc_now
from models.storage import analytics, assignments
from models.storage import sessions as stored

_OBSERVED_SECONDS = 2.0
_POLL_SECONDS = 0.1
_PLANNED = 1000
_MIB = 1024 * 1024


def registration(target: Target, found: Findings) -> None:
    """Each node that lives sends heartbeats with figures that can be true."""
    client = target.context.servers.redis()
    leader = read_leader(client)
    found.require(leader, "no coordinator leads; start one with 'afx coordinator start'")
    begun = time.monotonic()
    before = {it.incarnation: it.seq for it in _live(client)}
    gaps = dict.fromkeys(before, 0.0)
    while True:
        seconds = time.monotonic() - begun
        nodes = _live(client)
        silent = {it.incarnation for it in nodes if it.seq == before.get(it.incarnation)}
        for it in nodes:
            count = it.seq - before.get(it.incarnation, it.seq - 1)
            gaps[it.incarnation] = seconds / count if count else seconds
        if seconds >= (target.seconds if silent else _OBSERVED_SECONDS):
            break
        time.sleep(_POLL_SECONDS)
    found.require(nodes, "no node is registered; start one with 'afx worker start'")
    for it in nodes:
        is_heard = it.incarnation not in silent
        found.require(is_heard, f"{it.name} sent no heartbeat in {target.seconds:g} s")
        found.require(
            not it.faults, f"the record of {it.name} is malformed: {', '.join(it.faults)}"
        )
        metrics = it.metrics
        plausible = metrics.rss > 0 and metrics.ram_limit > 0
        found.require(plausible, f"{it.name} reports no RAM")
    if nodes:
        slowest = max(gaps[it.incarnation] for it in nodes)
        found.note(
            f"live nodes: {len(nodes)}; a heartbeat each {slowest:.2f} s or sooner; leader: "
            f"{leader.name if leader else 'none'}",
            nodes=len(nodes),
            heartbeat_seconds=slowest,
        )


def assignment(target: Target, found: Findings) -> None:
    """No node has more than it may, and the real placement plans within the nodes' RAM."""
    client = target.context.servers.redis()

    def differing() -> list[str]:
        owned = Counter(it.incarnation for it in assignments.active())
        return [it.name for it in _live(client) if it.assigned != owned[it.incarnation]]

    try:
        wait(lambda: not differing(), "the counts in Redis and SQL agree", target.seconds)
    except Exception as error:
        found.problems.append(f"{error} ({', '.join(differing())})")
    nodes = _live(client)
    for it in nodes:
        found.require(
            it.assigned <= it.max_sessions, f"{it.name} has more sessions than it may have"
        )
        limit = it.metrics.ram_limit
        found.require(not limit or it.metrics.rss <= limit, f"{it.name} uses more than its RAM")
    capacity = Capacity(target.context.settings)
    views = [placement.with_starts(capacity.node(it, 0.0), _PLANNED) for it in nodes]
    ready = [it for it, node in zip(views, nodes, strict=True) if node.state == "ready"]
    size = capacity.cost(False, True)
    begun = time.monotonic()
    plan = placement.plan([PlacementRequest(it, size) for it in range(_PLANNED)], ready)
    seconds = time.monotonic() - begun
    given = Counter(it.node for it in plan.placed)
    for one in ready:
        found.require(
            given[one.name] * size <= max(0, one.free_bytes),
            f"the plan gives {one.name} more than its RAM",
        )
    loads = node_loads(nodes)
    found.note(
        f"the fullest node has {rebalance.imbalance(loads):.2f} times the mean load; "
        f"{len(plan.placed)} of {_PLANNED} further sessions would fit, planned in "
        f"{seconds * 1000:.0f} ms",
        imbalance=rebalance.imbalance(loads),
        would_fit=len(plan.placed),
        plan_ms=seconds * 1000,
    )


def efficiency(target: Target, found: Findings) -> None:
    """The RAM of a live session; one that hibernates is on no node, and misses nothing."""
    nodes = _live(target.context.servers.redis())
    running = sum(it.metrics.sessions for it in nodes)
    rss = sum(it.metrics.rss for it in nodes)
    if running:
        found.note(
            f"{rss / _MIB:.0f} MiB for {running} live sessions on {len(nodes)} nodes: "
            f"{rss / running / 1024:.0f} KiB each, with what the nodes need themselves",
            rss_mib=rss / _MIB,
            sessions=running,
            kib_per_session=rss / running / 1024,
        )
    else:
        found.note(f"{rss / _MIB:.0f} MiB for {len(nodes)} nodes without a session")
    asleep = stored.count_by_state()["hibernated"]
    found.note(f"{asleep} sessions hibernate, on no node", hibernated=asleep)
    if target.canary is None:
        found.not_done.append(f"no session was made to hibernate: {target.no_canary}")
    else:
        _hibernate(target, target.canary, found)


def _hibernate(target: Target, canary: Canary, found: Findings) -> None:
    """Let the canary hibernate, post a message to it, and wake it."""
    wait(lambda: canary.state() == "running", "the canary runs", target.seconds)
    sessions.hibernate(canary.context, canary.session, though_fresh=True)
    slept = wait(
        lambda: canary.state() == "hibernated", "a session hibernates on request", target.seconds
    )
    text = "while it hibernated"
    canary.post(text)
    begun = time.monotonic()
    sessions.wake(canary.context, canary.session)
    wait(lambda: canary.copies(text) > 0, f"'{text}' is copied", target.seconds)
    seconds = time.monotonic() - begun
    found.require(canary.copies(text) == 1, "a message was copied twice")
    wait(lambda: canary.state() == "running", "it runs again", target.seconds)
    found.note(
        f"a session hibernated {slept:.1f} s after the request, and copied a message that it had "
        f"missed {seconds:.2f} s after it was woken",
        hibernate_seconds=slept,
        wake_seconds=seconds,
    )


def cleanup(target: Target, found: Findings) -> None:
    """What is over leaves Redis and SQL; a node that is recycled is left to --full."""
    client = target.context.servers.redis()
    settings = target.context.settings
    names = {str(it) for it in client.smembers(keys.WORKERS)}
    left = [
        it
        for it in client.scan_iter(keys.reservations("*"), count=1000)
        if str(it).split(":")[2] not in names
    ]
    found.require(not left, f"{len(left)} nodes that are gone still have reservations")
    oldest = analytics.oldest(analytics.RAW)
    age = (utc_now() - oldest) if oldest else timedelta()
    limit = timedelta(hours=2 * settings.analytics_raw_hours + 1)
    found.require(age <= limit, f"samples are stored for {age}, longer than the settings say")
    found.note(
        f"no reservation is left over; the oldest sample is {age.total_seconds() / 3600:.1f} h old",
        oldest_sample_hours=age.total_seconds() / 3600,
    )
    found.not_done.append("no node was recycled")


def _live(client: object) -> Sequence[WorkerView]:
    nodes = Registry(client).all()  # type: ignore[arg-type]
    return [it for it in nodes if it.state in LIVE_STATES]
