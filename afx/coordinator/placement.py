"""Which node gets which session: a pure function over a snapshot."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

_OWNER_BONUS = 5.0
_FAILED_MALUS = 25.0
_CPU_STEP = 0.1


@dataclass(slots=True, frozen=True)
class Node:
    """A node as placement sees it; bytes, and shares from 0 to 1."""

    name: str
    incarnation: str
    free: int
    """Bytes it may still take: reservations and headroom are off already."""
    reach: int
    """Bytes that it could use in all: what it uses now, and what is free."""
    cpu: float
    sessions: int
    max_sessions: int
    starts: int
    """Sessions that it may start now (its start tokens)."""
    starting: int = 0
    flaps: int = 0
    """How often it died lately."""


@dataclass(slots=True, frozen=True)
class Wish:
    """A session that wants a place."""

    session: int
    bytes: int
    last_node: str = ""
    failed_nodes: frozenset[str] = frozenset()


@dataclass(slots=True, frozen=True)
class Placement:
    """A session's place in the plan."""

    session: int
    node: str
    incarnation: str
    bytes: int


@dataclass(slots=True, frozen=True)
class Plan:
    """Where sessions go; ``full`` fit nowhere, ``later`` wait for start tokens."""

    placed: tuple[Placement, ...]
    full: tuple[int, ...]
    later: tuple[int, ...]


def steep(share: float) -> float:
    """Return (10^u − 1)/9: small shares cost little, the last bit costs most."""
    return float((10.0 ** min(1.0, max(0.0, share)) - 1) / 9)


def score(node: Node, needed: int) -> float:
    """Return what placing ``needed`` bytes on a node costs; lower wins.

    The session's own terms (its old owner, where it failed) come on top.
    """
    used = 1 - (node.free - needed) / node.reach if node.reach else 1.0
    # A few per cent of CPU are noise, which must not outweigh the count.
    cpu = round(node.cpu / _CPU_STEP) * _CPU_STEP
    return (
        45 * steep(used)
        + 20 * steep(cpu)
        + 20 * steep(node.sessions / node.max_sessions)
        + 10 * min(1.0, node.starting / max(1, node.starts + node.starting))
        + 5 * node.flaps
    )


def with_starts(node: Node, least: int) -> Node:
    """Return a node with at least so many start tokens."""
    return replace(node, starts=max(node.starts, least))


def fits(node: Node, needed: int) -> bool:
    """Return whether a node has room for a session."""
    return node.free >= needed and node.sessions < node.max_sessions


def plan(wishes: Sequence[Wish], nodes: Iterable[Node]) -> Plan:
    """Give each session, in the order given, the node that costs least.

    Nodes are kept in a heap by their score for an average session: a placement
    changes one node only, so each costs O(log nodes).
    """
    state: dict[str, Node] = {node.name: node for node in nodes}
    typical = sum(wish.bytes for wish in wishes) // len(wishes) if wishes else 0
    heap = [(score(node, typical), name) for name, node in state.items()]
    heapq.heapify(heap)
    placed: list[Placement] = []
    full: list[int] = []
    later: list[int] = []
    for wish in wishes:
        best = _best(wish, state, heap, typical)
        if best is None:
            roomy = any(fits(node, wish.bytes) for node in state.values())
            (later if roomy else full).append(wish.session)
            continue
        node = state[best]
        placed.append(Placement(wish.session, best, node.incarnation, wish.bytes))
        state[best] = node = replace(
            node, free=node.free - wish.bytes, sessions=node.sessions + 1,
            starts=node.starts - 1, starting=node.starting + 1,
        )  # fmt: skip
        heapq.heappush(heap, (score(node, typical), best))
    return Plan(tuple(placed), tuple(full), tuple(later))


def _best(
    wish: Wish, state: Mapping[str, Node], heap: list[tuple[float, str]], typical: int
) -> str | None:
    """Return the best node for a session; leaves the heap whole.

    Looks at the cheapest node, at the nodes where it failed (they cost more),
    and at its old owner (it costs less).
    """
    aside: list[tuple[float, str]] = []
    best: tuple[float, str] | None = None
    while heap:
        cost, name = heapq.heappop(heap)
        node = state[name]
        if cost != score(node, typical):
            continue  # an outdated entry: a newer one is in the heap
        aside.append((cost, name))
        if not fits(node, wish.bytes) or node.starts < 1:
            continue
        own = cost + (_FAILED_MALUS if name in wish.failed_nodes else 0.0)
        if best is None or own < best[0]:
            best = (own, name)
        if name not in wish.failed_nodes:
            break
    for entry in aside:
        heapq.heappush(heap, entry)
    owner = state.get(wish.last_node)
    if owner and fits(owner, wish.bytes) and owner.starts >= 1:
        own = score(owner, typical) - _OWNER_BONUS
        own += _FAILED_MALUS if owner.name in wish.failed_nodes else 0.0
        if best is None or own < best[0]:
            best = (own, owner.name)
    return best[1] if best else None


def needed_bytes(rss: int, base: int, sessions: int, assumed: int, weight: int = 50) -> int:
    """Return a session's RAM, learned from a node's, shrunk toward an assumption.

    With ``n`` sessions that use ``rss − base`` bytes in all, the estimate is
    ``(weight · assumed + rss − base) / (weight + n)``: the assumption counts as
    much as ``weight`` sessions.
    """
    return max(1, (weight * assumed + max(0, rss - base)) // (weight + sessions))
