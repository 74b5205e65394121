"""How evenly RAM is used while sessions hibernate, beside simpler rules; for ``placement``.

In each round some sessions fall asleep, wherever they are, and others wake and are placed on the
nodes as they are then. Nothing is moved.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from afx.coordinator.decisions.placement import Node, PlacementRequest, plan

_ROUNDS = 6
_FALL_ASLEEP, _WAKE = 0.3, 0.5


class Fleet:
    """Nodes, and the sizes in bytes of the sessions that run on them."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes = nodes
        self.used = [it.capacity_bytes - it.free_bytes for it in nodes]
        self.counts = [0] * len(nodes)

    def add(self, number: int, size: int) -> None:
        """Let a session run on a node."""
        self.used[number] += size
        self.counts[number] += 1

    def remove(self, number: int, size: int) -> None:
        """Let it sleep."""
        self.used[number] -= size
        self.counts[number] -= 1

    def max_over_mean(self) -> float:
        """Return the fullest node's share of RAM as a multiple of the mean."""
        shares = [used / it.capacity_bytes for it, used in zip(self.nodes, self.used, strict=True)]
        return max(shares) * len(shares) / sum(shares)


Rule = Callable[[Fleet, Sequence[int], random.Random], list[int]]
"""Places sessions of these sizes one after the other; returns each one's node."""


def by_score(fleet: Fleet, sizes: Sequence[int], _: random.Random) -> list[int]:
    """Place as afx does."""
    now = [
        replace(it, free_bytes=it.capacity_bytes - used, sessions=count)
        for it, used, count in zip(fleet.nodes, fleet.used, fleet.counts, strict=True)
    ]
    numbers = {it.name: number for number, it in enumerate(fleet.nodes)}
    found = [0] * len(sizes)
    for it in plan([PlacementRequest(n, size) for n, size in enumerate(sizes)], now).placed:
        found[it.session] = numbers[it.node]
        fleet.add(found[it.session], sizes[it.session])
    return found


def _one_by_one(choose: Callable[[Fleet, random.Random], int]) -> Rule:
    def place(fleet: Fleet, sizes: Sequence[int], dice: random.Random) -> list[int]:
        found = []
        for size in sizes:
            found.append(choose(fleet, dice))
            fleet.add(found[-1], size)
        return found

    return place


def _round_robin() -> Rule:
    turn = iter(range(10**9))
    return _one_by_one(lambda fleet, _: next(turn) % len(fleet.nodes))


def _least_sessions(fleet: Fleet, _: random.Random) -> int:
    return fleet.counts.index(min(fleet.counts))


def compare(
    nodes: Callable[[random.Random], list[Node]],
    sizes: Callable[[random.Random], list[int]],
    seeds: int,
) -> dict[str, float]:
    """Return the mean of the fullest node's RAM as a multiple of the mean, by rule."""
    found: dict[str, float] = {}
    for name in ("afx", "round-robin", "least-sessions", "random"):
        ratios = [_run(name, nodes, sizes, seed) for seed in range(seeds)]
        found[name] = round(sum(ratios) / seeds, 4)
    return found


def _run(
    name: str,
    nodes: Callable[[random.Random], list[Node]],
    sizes: Callable[[random.Random], list[int]],
    seed: int,
) -> float:
    rule = {
        "afx": by_score,
        "round-robin": _round_robin(),
        "least-sessions": _one_by_one(_least_sessions),
        "random": _one_by_one(lambda fleet, dice: dice.randrange(len(fleet.nodes))),
    }[name]
    dice = random.Random(seed)
    fleet = Fleet(nodes(dice))
    size_of = sizes(dice)
    place = rule(fleet, size_of, dice)
    asleep: set[int] = set()
    for _ in range(_ROUNDS):
        for it in range(len(size_of)):
            if it not in asleep and dice.random() < _FALL_ASLEEP:
                fleet.remove(place[it], size_of[it])
                asleep.add(it)
        woken = [it for it in sorted(asleep) if dice.random() < _WAKE]
        asleep.difference_update(woken)
        for it, number in zip(woken, rule(fleet, [size_of[it] for it in woken], dice), strict=True):
            place[it] = number
    return fleet.max_over_mean()
