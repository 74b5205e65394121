"""Random schedules of a whole cluster: nothing is live twice, whatever happens.

``AFX_SCHEDULES`` sets how many (everyday 300, nightly 10,000).
"""

from __future__ import annotations

import os
from dataclasses import fields, replace

import pytest
from simulation.cluster import Cluster
from simulation.conditions import Faults, OmittedRules

SCHEDULES = int(os.environ.get("AFX_SCHEDULES", "300"))
PARTS = 10
ROUGH = Faults(late=0.25, pause=0.03, partition=0.05, leader_pause=0.05, stall=0.02)


@pytest.mark.parametrize("part", range(PARTS))
def test_no_session_is_ever_live_twice(part: int) -> None:
    placements = takeovers = moves = 0
    for seed in range(part, SCHEDULES, PARTS):
        cluster = Cluster(seed, nodes=3 + seed % 4, sessions=8 + seed % 9, capacity=4 + seed % 5)
        cluster.run(60.0)
        assert not cluster.judge.violations, f"seed {seed}: {cluster.judge.violations}"
        placements += cluster.judge.placements
        takeovers += cluster.judge.takeovers
        moves += cluster.judge.moves
    # The schedules are of use only if something happens in them.
    assert placements > 10 * SCHEDULES / PARTS and takeovers and moves


@pytest.mark.parametrize("seed", range(8))
def test_when_the_faults_end_every_session_runs_or_waits_for_room(seed: int) -> None:
    cluster = Cluster(seed, nodes=4, sessions=20, capacity=4 + seed % 3)
    cluster.run(40.0)
    cluster.end_faults()
    cluster.run(60.0)
    room = 4 * cluster.capacity
    active = cluster.sql.active
    assert sum(it.state == "running" for it in active.values()) == min(20, room)
    assert len(cluster.sql.waiting) == max(0, 20 - room)
    live = {s: node.incarnation for node in cluster.nodes.values() for s in node.running}
    assert live == {s: it.incarnation for s, it in active.items()}


def test_every_session_runs_at_some_time_when_there_is_room_for_few() -> None:
    cluster = Cluster(5, nodes=2, sessions=10, capacity=3, faults=replace(Faults(), crash=0.05))
    ran: set[int] = set()
    for _ in range(300):
        cluster.run(2.0)
        ran |= set(cluster.sql.active)
    assert not cluster.judge.violations
    assert ran == set(range(10))


@pytest.mark.parametrize("rule", [it.name for it in fields(OmittedRules)])
def test_a_violation_is_found_when_a_rule_is_left_out(rule: str) -> None:
    # It takes a Redis that loses answers, and that forgets which names are registered.
    forgetful = replace(ROUGH, failover=0.1, flush=0.02, lose=0.3, late=0.5)
    faults = forgetful if rule == "unanswered_registration_is_repeated" else ROUGH
    for seed in range(400):
        cluster = Cluster(
            seed,
            nodes=4,
            sessions=12,
            capacity=8,
            faults=faults,
            omitted=OmittedRules(**{rule: True}),
        )
        cluster.run(60.0)
        if cluster.judge.violations:
            return
    pytest.fail("no schedule led to a violation")


@pytest.mark.parametrize("faults", [ROUGH, replace(ROUGH, failover=0.1, flush=0.02)])
def test_the_same_rough_schedules_are_safe_with_all_rules(faults: Faults) -> None:
    for seed in range(SCHEDULES // 3):
        cluster = Cluster(seed, nodes=4, sessions=12, capacity=8, faults=faults)
        cluster.run(60.0)
        assert not cluster.judge.violations, f"seed {seed}: {cluster.judge.violations}"


def test_a_hundred_nodes_with_thousands_of_sessions_are_safe_as_well() -> None:
    cluster = Cluster(1, nodes=100, sessions=5_000, capacity=55, write_gap=8.0)
    cluster.run(30.0)
    assert not cluster.judge.violations
    assert cluster.judge.takeovers and len(cluster.sql.active) > 4_000


@pytest.mark.faults
def test_a_hundred_nodes_with_a_hundred_thousand_sessions_are_safe_as_well() -> None:
    cluster = Cluster(2, nodes=100, sessions=100_000, capacity=1_100, write_gap=30.0)
    cluster.run(25.0)
    assert not cluster.judge.violations
    assert cluster.judge.takeovers and len(cluster.sql.active) > 80_000
