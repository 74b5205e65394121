"""Rebalancing: which sessions move so that nodes are loaded evenly; a pure plan."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

BEGIN_RATIO = 1.25
END_RATIO = 1.10
_ROUND_MOST = 20
_ROUND_SHARE = 0.005
_HOUR_SHARE = 0.02


@dataclass(slots=True, frozen=True)
class NodeLoad:
    """A node and the load of its sessions."""

    name: str
    incarnation: str
    used_bytes: int
    capacity_bytes: int
    """What it could use in all."""
    sessions: int
    max_sessions: int
    labels: frozenset[str] = frozenset()


@dataclass(slots=True, frozen=True)
class Movable:
    """A session that may be moved: its last move is longer ago than the cool-down."""

    session: int
    incarnation: str
    bytes: int
    requires: frozenset[str] = frozenset()


@dataclass(slots=True, frozen=True)
class Move:
    """One session's move, by nodes' names."""

    session: int
    source: str
    target: str


def imbalance(nodes: Iterable[NodeLoad]) -> float:
    """Return the highest load divided by the mean; 1 when all are equal or idle."""
    loads = [_load(it, it.used_bytes) for it in nodes]
    mean = sum(loads) / len(loads) if loads else 0.0
    return max(loads) / mean if mean else 1.0


def budget(sessions: int, moved_in_last_hour: int) -> int:
    """Return how many sessions one round may move.

    At most 20 or 0.5 %, and 2 % within an hour; a small cluster may move one.
    """
    round_most = min(_ROUND_MOST, max(1, int(sessions * _ROUND_SHARE)))
    return max(0, min(round_most, max(1, int(sessions * _HOUR_SHARE)) - moved_in_last_hour))


def sources(nodes: Sequence[NodeLoad], most: int) -> list[str]:
    """Return the nodes that sessions may leave in one round, by name, the fullest first.

    None while the imbalance is small.
    """
    if len(nodes) < 2 or imbalance(nodes) <= BEGIN_RATIO:
        return []
    loads = {it.name: _load(it, it.used_bytes) for it in nodes}
    end = END_RATIO * sum(loads.values()) / len(loads)
    full = sorted((it for it in loads if loads[it] >= end), key=lambda it: (-loads[it], it))
    return full[:most]


def plan(nodes: Sequence[NodeLoad], movable: Iterable[Movable], most: int) -> list[Move]:
    """Return the moves of one round; none while the imbalance is small.

    Sessions move from the fullest node to the emptiest one that can take them,
    as long as that lowers the higher load of the two. A round begins above 1.25
    times the mean load and ends below 1.10 times.
    """
    if len(nodes) < 2 or imbalance(nodes) <= BEGIN_RATIO:
        return []
    by_node: dict[str, list[Movable]] = {}
    for it in movable:
        by_node.setdefault(it.incarnation, []).append(it)
    for candidates in by_node.values():
        candidates.sort(key=lambda it: (it.bytes, -it.session))
    used = {it.name: it.used_bytes for it in nodes}
    count = {it.name: it.sessions for it in nodes}
    moves: list[Move] = []
    closed: set[str] = set()
    while len(moves) < most:
        loads = {it.name: _load(it, used[it.name]) for it in nodes}
        mean = sum(loads.values()) / len(loads)
        sources = [it for it in nodes if it.name not in closed]
        if not sources or not mean:
            break
        source = max(sources, key=lambda it: (loads[it.name], it.name))
        if loads[source.name] / mean < END_RATIO:
            break
        waiting = by_node.get(source.incarnation, [])
        if not waiting:
            closed.add(source.name)
            continue
        it = waiting.pop()
        after = _load(source, used[source.name] - it.bytes)
        targets = [
            node
            for node in nodes
            if node.name != source.name
            and it.requires <= node.labels
            and count[node.name] < node.max_sessions
            and _load(node, used[node.name] + it.bytes) < loads[source.name]
        ]
        target = min(targets, key=lambda node: (loads[node.name], node.name), default=None)
        if target is None or after < 0:
            continue
        moves.append(Move(it.session, source.name, target.name))
        used[source.name] -= it.bytes
        used[target.name] += it.bytes
        count[source.name] -= 1
        count[target.name] += 1
    return moves


def _load(node: NodeLoad, used: int) -> float:
    return used / node.capacity_bytes if node.capacity_bytes else 0.0
