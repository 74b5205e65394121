"""Random schedules of a whole cluster: nothing live twice, whatever happens.

``AFX_SCHEDULES`` sets how many (everyday 300, nightly 10,000).
"""

from __future__ import annotations

import os
from dataclasses import fields, replace

import pytest
from simulation.parts import Broken, Faults
from simulation.world import World

SCHEDULES = int(os.environ.get("AFX_SCHEDULES", "300"))
PARTS = 10


@pytest.mark.parametrize("part", range(PARTS))
def test_no_session_is_ever_live_twice(part: int) -> None:
    placements = takeovers = moves = 0
    for seed in range(part, SCHEDULES, PARTS):
        world = World(seed, nodes=3 + seed % 4, sessions=8 + seed % 9, capacity=4 + seed % 5)
        world.run(60.0)
        assert not world.violations, f"seed {seed}: {world.violations}"
        placements += world.placements
        takeovers += world.takeovers
        moves += world.moves
    # The schedules are of use only if something happens in them.
    assert placements > 10 * SCHEDULES / PARTS and takeovers and moves


@pytest.mark.parametrize("seed", range(8))
def test_when_the_trouble_ends_every_session_runs_or_waits_for_room(seed: int) -> None:
    world = World(seed, nodes=4, sessions=20, capacity=4 + seed % 3)
    world.run(40.0)
    world.faults = Faults(*[0.0] * len(fields(Faults)))
    for node in world.nodes.values():
        node.paused_until = node.cut_until = 0.0
    world.run(60.0)
    room = 4 * world.capacity
    running = sum(it.state == "running" for it in world.active.values())
    assert running == min(20, room)
    assert len(world.waiting) == max(0, 20 - room)
    live = {s: n.incarnation for n in world.nodes.values() for s in n.running}
    assert live == {s: it.incarnation for s, it in world.active.items()}


def test_nobody_starves_when_there_is_room_for_few(  # fair order, under churn
) -> None:
    world = World(5, nodes=2, sessions=10, capacity=3, faults=replace(Faults(), crash=0.05))
    ran: set[int] = set()
    for _ in range(300):
        world.run(2.0)
        ran |= set(world.active)
    assert not world.violations
    assert ran == set(range(10))


ROUGH = Faults(late=0.25, pause=0.03, partition=0.05, leader_pause=0.05, stall=0.02)


@pytest.mark.parametrize("rule", [it.name for it in fields(Broken)])
def test_a_rule_that_is_left_out_is_found_out(rule: str) -> None:
    # What a Redis forgot that loses answers, too.
    often = {"unsure_tries_again": replace(ROUGH, failover=0.1, flush=0.02, lose=0.3, late=0.5)}
    for seed in range(400):
        world = World(
            seed,
            nodes=4,
            sessions=12,
            capacity=8,
            faults=often.get(rule, ROUGH),
            broken=Broken(**{rule: True}),
        )
        world.run(60.0)
        if world.violations:
            return
    pytest.fail("no schedule found it out")


@pytest.mark.parametrize("faults", [ROUGH, replace(ROUGH, failover=0.1, flush=0.02)])
def test_the_same_rough_schedules_are_safe_with_all_rules(faults: Faults) -> None:
    for seed in range(SCHEDULES // 3):
        world = World(seed, nodes=4, sessions=12, capacity=8, faults=faults)
        world.run(60.0)
        assert not world.violations, f"seed {seed}: {world.violations}"


def test_a_hundred_nodes_with_thousands_of_sessions_are_safe_as_well() -> None:
    world = World(1, nodes=100, sessions=5_000, capacity=55, write_gap=8.0)
    world.run(30.0)
    assert not world.violations
    assert world.takeovers and len(world.active) > 4_000


@pytest.mark.faults
def test_a_hundred_nodes_with_a_hundred_thousand_sessions_are_safe_as_well() -> None:
    world = World(2, nodes=100, sessions=100_000, capacity=1_100, write_gap=30.0)
    world.run(25.0)
    assert not world.violations
    assert world.takeovers and len(world.active) > 80_000
