"""One schedule: a cluster, its faults, and what the judge says at the end."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from random import Random

from simulation import faults
from simulation.cluster import Cluster
from simulation.faults import FAULT_SECONDS, Fault

from afx.process_names import node_of

RECOVERY_SECONDS = 75.0
"""When the faults have ended for so long, every session must run."""
_STEP = 0.5
_SETTLED_STEPS = 4
_MOST_ASLEEP = 10.0
"""A session that hibernates connects again within so many seconds when nothing goes wrong."""


@dataclass(slots=True, frozen=True)
class Result:
    """What became of a schedule."""

    seed: int
    violations: tuple[str, ...]
    opened: int
    """How many connections were made."""
    recovered: float = 0.0
    """How long after the faults' end every session ran."""
    lines: tuple[str, ...] = ()


Prepare = Callable[[Cluster], AbstractContextManager[None]]


def run(
    seed: int,
    plan: list[Fault] | None = None,
    *,
    prepare: Prepare = lambda _: nullcontext(),
    traced: bool = False,
    recover: bool = True,
) -> Result:
    """Run one schedule; ``prepare`` may break a rule of the real code for it."""
    random = Random(f"{seed} size")
    nodes = random.randint(2, 4)
    capacity = random.randint(3, 5)
    cluster = Cluster(
        seed,
        nodes=nodes,
        capacity=capacity,
        # One node may stay away, and all still have room.
        sessions=max(2, min(7, (nodes - 1) * capacity)),
        coordinators=random.choice((1, 2, 2)),
        traced=traced,
    )
    gc.disable()
    try:
        with prepare(cluster):
            faults.cause(cluster, faults.plan(seed) if plan is None else plan)
            violations, recovered = _watch(cluster, recover)
        lines = tuple(cluster.hub.lines or ())
        return Result(seed, tuple(violations), cluster.judge.opened, recovered, lines)
    finally:
        cluster.close()
        gc.enable()


def _watch(cluster: Cluster, recover: bool) -> tuple[list[str], float]:
    settled, hub = 0, cluster.hub
    end = FAULT_SECONDS + (RECOVERY_SECONDS if recover else 0.0)
    while hub.now < end and settled < _SETTLED_STEPS:
        cluster.run(_STEP)
        _check_capacity(cluster)
        found = [*cluster.judge.violations, *hub.crashes]
        if found:
            return found, 0.0
        if hub.now > FAULT_SECONDS:
            is_settled = not _missing(cluster) and not _wrong_nodes(cluster)
            settled = settled + 1 if is_settled else 0
    if recover and settled < _SETTLED_STEPS:
        text = f"{hub.now:.0f}: not recovered: {_missing(cluster)}, {_wrong_nodes(cluster)}"
        hub.trace(text)
        return [text], 0.0
    return [], hub.now - FAULT_SECONDS - _STEP * _SETTLED_STEPS


def _check_capacity(cluster: Cluster) -> None:
    active = _active(cluster)
    for incarnation, count in Counter(it[1] for it in active.values()).items():
        if count > cluster.capacity:
            cluster.judge.violate(f"{incarnation} has {count} sessions in SQL")
    live = Counter(it.name for it in cluster.judge.live().values())
    for name, count in live.items():
        if count > cluster.capacity:
            cluster.judge.violate(f"{name} runs {count} sessions")


def _active(cluster: Cluster) -> dict[int, tuple[str, str]]:
    """Return session → (state, incarnation), as SQL has it."""
    rows = cluster.sql.rows(
        "SELECT session_id, state, incarnation FROM session_assignments WHERE state != 'ended'"
    )
    return {session: (state, incarnation) for session, state, incarnation in rows}


def _wrong_nodes(cluster: Cluster) -> dict[str, list[str]]:
    """Return the nodes that do not have as many hosts as they should, with their hosts."""
    hosts: dict[str, list[str]] = {name: [] for name in cluster.supervisors}
    for process, name, _ in cluster.hosts.values():
        if process.alive:
            hosts[node_of(name)].append(name)
    return {node: it for node, it in hosts.items() if len(it) != cluster.processes}


def _missing(cluster: Cluster) -> dict[int, str]:
    """Return the sessions that do not run exactly where SQL says, with what is wrong.

    One that hibernates has to have connected lately.
    """
    active, live = _active(cluster), cluster.judge.live()
    hibernating = {
        it for (it,) in cluster.sql.rows("SELECT id FROM sessions WHERE hibernation <> ''")
    }
    incarnations = {process.pid: it for process, _, it in cluster.hosts.values()}
    wrong: dict[int, str] = {}
    for session in cluster.session_ids:
        if session in hibernating:
            last = cluster.judge.opened_at.get(session, 0.0)
            if last <= FAULT_SECONDS or cluster.hub.now - last > _MOST_ASLEEP:
                wrong[session] = f"hibernates, and connected last at {last:.1f} s"
            continue
        state, incarnation = active.get(session, ("not placed", ""))
        runs_on = incarnations[live[session].pid] if session in live else ""
        if state != "running" or runs_on != incarnation:
            wrong[session] = f"{state} on {incarnation[:6]}, runs on {runs_on[:6]}"
    return wrong
