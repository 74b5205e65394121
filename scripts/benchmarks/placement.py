"""Placement: how fast plans and commits are, and how evenly RAM is used beside simpler rules."""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import evenness
from common import Target, percentile, report

from afx.coordinator.decisions.placement import Node, PlacementRequest, plan

NAME = "placement"
MIB = 1024 * 1024
_SIZES = ((0.70, 1), (0.20, 4), (0.08, 16), (0.02, 64))
"""A skewed mix: share of the sessions, and MiB of each."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--nodes", type=int, default=50, help="of the comparison")
    parser.add_argument("--seeds", type=int, default=20, help="mixes of the comparison")
    parser.add_argument("--commits", type=int, default=10_000, help="placements to commit")


def run(flags: argparse.Namespace) -> None:
    """Plan, commit to a real Redis and SQLite, and compare with four other rules."""
    rows: list[dict[str, Any]] = []
    targets: list[Target] = []
    for sessions, nodes, most in ((10_000, 100, 1.0), (100_000, 1_000, 15.0)):
        taken = _plan_seconds(sessions, nodes)
        rows.append({"what": f"plan {sessions} over {nodes}", "seconds": round(taken, 2)})
        name = f"plan {sessions} sessions over {nodes} nodes, s"
        targets.append(Target(name, taken, most, "at most"))
    committed = _commit(flags.commits)
    rows.append(committed)
    targets += [
        Target("committed placements/s", committed["per_s"], 2_000, "at least"),
        Target("scripts p99, ms", committed["script_p99_ms"], 2.0, "at most"),
    ]
    compared = _compare(flags.nodes, flags.seeds)
    rows += compared
    ours = next(it for it in compared if it["what"] == "afx")
    peers = [it for it in compared if it["what"] in ("round-robin", "least-sessions", "random")]
    for figure, name in (("max_over_mean", "RAM max/mean above 1"), ("wasted", "RAM wasted")):
        floor = 1.0 if figure == "max_over_mean" else 0.0
        best = min(it[figure] - floor for it in peers)
        better = 1 - (ours[figure] - floor) / best if best else 0.0
        targets.append(
            Target(f"{name}: better than the best of three, %", round(100 * better), 40, "at least")
        )
    nodes = max(1, flags.nodes // 2)
    ratios = evenness.compare(  # so many sessions that about as many are awake as before
        lambda dice: [_node(dice, it, starts=10**6) for it in range(nodes)],
        lambda dice: [_size(dice) for _ in range(nodes * 4_000)],
        max(1, flags.seeds // 10),
    )
    rows += [{"what": f"{k}, hibernating", "max_over_mean": it} for k, it in ratios.items()]
    best = min(it for k, it in ratios.items() if k != "afx") - 1
    targets.append(
        Target(
            "RAM max/mean above 1 with hibernation: better than the best of three, %",
            round(100 * (1 - (ratios["afx"] - 1) / best)),
            40,
            "at least",
        )
    )
    report(NAME, rows, targets, as_json=flags.json)


def _plan_seconds(sessions: int, nodes: int) -> float:
    dice = random.Random(1)
    offered = [_node(dice, number, starts=sessions) for number in range(nodes)]
    requests = [
        PlacementRequest(n, _size(dice) // 8, f"w{dice.randrange(nodes)}") for n in range(sessions)
    ]
    begun = time.perf_counter()
    made = plan(requests, offered)
    assert len(made.placed) == sessions
    return time.perf_counter() - begun


def _node(dice: random.Random, number: int, starts: int) -> Node:
    """A node that is in use already, more or less."""
    capacity = 64 * 1024 * MIB
    free = int(capacity * dice.uniform(0.5, 1.0))
    return Node(f"w{number}", f"i{number}", free, capacity, dice.random() * 0.3, 0, 10**6, starts)


def _size(dice: random.Random) -> int:
    chance = dice.random()
    for share, size in _SIZES:
        chance -= share
        if chance < 0:
            return size * MIB
    return MIB


def _commit(count: int) -> dict[str, Any]:
    """Place sessions through the coordinator's own code: Redis, SQL, specs, orders."""
    from afx.clock import SYSTEM_CLOCK
    from afx.cluster.connection import connect
    from afx.cluster.leadership import LeaderElection, new_holder
    from afx.cluster.registry import Registry
    from afx.config import load
    from afx.local import private_redis
    from models import base, schema

    with tempfile.TemporaryDirectory(prefix="afx-bench-") as home:
        settings = load(home=Path(home), start_burst=10**6, redis_url="", database_url="")
        private_redis.ensure(settings.home)
        url = private_redis.url_for(settings.home)
        client, raw = connect(url), connect(url, decode=False)
        base.open_database(settings.database)
        election = LeaderElection(
            url,
            holder=new_holder(),
            ttl_seconds=5.0,
            stop_seconds=3.0,
            tick_limit_seconds=60.0,
            clock=SYSTEM_CLOCK,
        )
        try:
            schema.upgrade()
            _add_sessions(count)
            leadership = election.acquire()
            assert leadership is not None
            try:
                registry = Registry(client)
                _add_nodes(registry, leadership.term)
                spent, calls = _place_all(count, settings, client, raw, registry, leadership)
            finally:
                leadership.resign()
        finally:
            election.close()
            base.close_database()
            client.close()
            raw.close()
            private_redis.stop(settings.home)
    return {
        "what": f"commit {count} placements",
        "seconds": round(spent, 2),
        "per_s": round(count / spent),
        "script_p99_ms": round(percentile([it * 1000 for it in calls], 0.99) or 0, 3),
    }


def _add_sessions(count: int) -> None:
    from models.storage import rules, sessions, users
    from models.storage.rules import NewRule
    from models.storage.sessions import NewSession

    ids = sessions.create_many(
        users.create("bench"), [NewSession(f"s{n}", "x" * 460) for n in range(count)]
    )
    rules.create_many([NewRule(it, "r", ["@source"], ["@copies"]) for it in ids])


def _add_nodes(registry: Any, term: int) -> None:
    from afx.cluster.worker_records import Identity, Metrics

    idle = Metrics(100 * MIB, 60_000 * MIB, 64_000 * MIB, 0.1, 0, 0, 0)
    for number in range(20):
        identity = Identity(f"w{number}", f"i{number}", "h", "b", "p", "1:1", 10**6)
        registry.register(identity, idle)
        registry.beat(identity, idle, [])
        registry.reconcile(identity.name, identity.incarnation, (), term)


def _place_all(
    count: int, settings: Any, client: Any, raw: Any, registry: Any, leadership: Any
) -> tuple[float, list[float]]:
    """Return the seconds that it took, and those of each call of the placing script."""
    from afx.coordinator.assignments import AssignmentTable
    from afx.coordinator.capacity import Capacity
    from afx.coordinator.checkpoints import Checkpoints
    from afx.coordinator.decisions.epochs import EpochCounter
    from afx.coordinator.orders import Orders
    from afx.coordinator.overflow import Overflow
    from afx.coordinator.ownership import Ownership
    from afx.coordinator.placement_schedule import PlacementSchedule
    from afx.coordinator.placer import Placer
    from afx.coordinator.reservations import Reservations
    from afx.coordinator.spec_publisher import SpecPublisher
    from afx.coordinator.unknown_sessions import UnknownSessions
    from afx.coordinator.wire import Headroom
    from afx.security.signing import SigningKeys
    from models.storage import cluster, placing

    headroom = Headroom.from_settings(settings)
    signing_keys = SigningKeys([b"k" * 32])
    ownership = Ownership(client, leadership, headroom)
    capacity = Capacity(settings)
    orders = Orders(raw, signing_keys, 60.0)
    schedule = PlacementSchedule(0.0, cool_down_seconds=0.0, tick_seconds=0.1, most=1_000)
    table = AssignmentTable(
        leadership=leadership,
        ownership=ownership,
        registry=registry,
        orders=orders,
        specs=SpecPublisher(client, leadership.term, signing_keys),
        checkpoints=Checkpoints(client, leadership),
        schedule=schedule,
        epochs=EpochCounter(cluster.begin_generation(leadership.term)),
    )
    placer = Placer(
        leadership=leadership,
        table=table,
        capacity=capacity,
        reservations=Reservations(client, leadership, headroom=headroom, premium_share=0.0),
        overflow=Overflow(raw, signing_keys),
        unknown=UnknownSessions(
            leadership,
            table=table,
            ownership=ownership,
            orders=orders,
            schedule=schedule,
            answer_seconds=10.0,
        ),
    )
    calls = _time_scripts(ownership)
    begun = time.perf_counter()
    while len(table.active) < count:
        now = time.monotonic()
        ready = [capacity.node(it, now) for it in registry.all()]
        placer.place(placing.unplaced(1_000), ready, now)
    return time.perf_counter() - begun, calls


def _time_scripts(ownership: Any) -> list[float]:
    """Note how long each call of the placing script takes."""
    taken: list[float] = []
    script = ownership._place  # noqa: SLF001  what is measured has no other handle

    def timed(term: int, *, args: list[Any]) -> Any:
        begun = time.perf_counter()
        answer = script(term, args=args)
        taken.append(time.perf_counter() - begun)
        return answer

    ownership._place = timed  # noqa: SLF001
    return taken


# --- evenness -----------------------------------------------------------------------------


def _compare(nodes: int, seeds: int) -> list[dict[str, Any]]:
    """Fill the same nodes with the same sessions by each rule, seed after seed."""
    rules: dict[str, Callable[[list[Node], list[int], random.Random], list[int]]] = {
        "afx": _by_score,
        "round-robin": _round_robin,
        "least-sessions": _least_sessions,
        "random": _random,
        "power of two": _power_of_two,
    }
    rows = []
    for name, rule in rules.items():
        ratios, wasted = [], []
        for seed in range(seeds):
            dice = random.Random(seed)
            offered = [_node(dice, number, starts=10**6) for number in range(nodes)]
            sizes = [_size(dice) for _ in range(nodes * 2_500)]
            used = rule(offered, sizes, dice)
            shares = [
                (it.capacity_bytes - it.free_bytes + more) / it.capacity_bytes
                for it, more in zip(offered, used, strict=True)
            ]
            mean = sum(shares) / nodes
            ratios.append(max(shares) / mean)
            # All nodes can only be filled until the fullest one is: the rest is wasted.
            wasted.append(1 - mean / max(shares))
        rows.append(
            {
                "what": name,
                "max_over_mean": round(sum(ratios) / seeds, 4),
                "wasted": round(sum(wasted) / seeds, 4),
            }
        )
    return rows


def _by_score(nodes: list[Node], sizes: Sequence[int], _: random.Random) -> list[int]:
    used = dict.fromkeys((it.name for it in nodes), 0)
    for it in plan([PlacementRequest(n, size) for n, size in enumerate(sizes)], nodes).placed:
        used[it.node] += it.bytes
    return [used[it.name] for it in nodes]


def _spread(
    nodes: list[Node], sizes: Sequence[int], choose: Callable[[list[int], list[int]], int]
) -> list[int]:
    used, counts = [0] * len(nodes), [0] * len(nodes)
    for size in sizes:
        number = choose(used, counts)
        used[number] += size
        counts[number] += 1
    return used


def _round_robin(nodes: list[Node], sizes: Sequence[int], _: random.Random) -> list[int]:
    turn = iter(range(len(sizes)))
    return _spread(nodes, sizes, lambda _used, _counts: next(turn) % len(nodes))


def _least_sessions(nodes: list[Node], sizes: Sequence[int], _: random.Random) -> list[int]:
    return _spread(nodes, sizes, lambda _used, counts: counts.index(min(counts)))


def _random(nodes: list[Node], sizes: Sequence[int], dice: random.Random) -> list[int]:
    return _spread(nodes, sizes, lambda _used, _counts: dice.randrange(len(nodes)))


def _power_of_two(nodes: list[Node], sizes: Sequence[int], dice: random.Random) -> list[int]:
    def choose(used: list[int], _counts: list[int]) -> int:
        one, two = dice.randrange(len(nodes)), dice.randrange(len(nodes))
        load = [nodes[it].capacity_bytes - nodes[it].free_bytes + used[it] for it in (one, two)]
        return one if load[0] <= load[1] else two

    return _spread(nodes, sizes, choose)
