"""Which node gets which session: a pure function over a snapshot."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
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
    labels: frozenset[str] = frozenset()
    """``key=value`` of its region, kind, …"""
    kept: int = 0
    """Bytes of ``free`` that only premium users' sessions may take."""


@dataclass(slots=True, frozen=True)
class PlacementRequest:
    """A session that wants a place."""

    session: int
    bytes: int
    last_node: str = ""
    failed_nodes: frozenset[str] = frozenset()
    premium: bool = False
    requires: frozenset[str] = frozenset()
    """Labels that its node must have."""


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
    unmatched: tuple[int, ...] = ()
    """No node at all has the labels that they require."""


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


def fits(node: Node, wish: PlacementRequest) -> bool:
    """Return whether a node has room for a session, and the labels it requires."""
    room = node.free if wish.premium else node.free - node.kept
    return room >= wish.bytes and node.sessions < node.max_sessions and wish.requires <= node.labels


def plan(wishes: Sequence[PlacementRequest], nodes: Iterable[Node]) -> Plan:
    """Give each session, in the order given, the node that costs least.

    Nodes are kept in heaps by their score for an average session, one heap for
    each set of required labels: a placement changes one node only, so each
    costs O(log nodes). Nodes only fill up: what was too large for all of them
    once need not be tried again.
    """
    planner = _Planner(wishes, nodes)
    placed: list[Placement] = []
    full: list[int] = []
    later: list[int] = []
    unmatched: list[int] = []
    for wish in wishes:
        if not planner.matches(wish):
            unmatched.append(wish.session)
            continue
        best = planner.best(wish)
        if best is None:
            (later if planner.is_roomy(wish) else full).append(wish.session)
        else:
            placed.append(planner.take(wish, best))
    return Plan(tuple(placed), tuple(full), tuple(later), tuple(unmatched))


class _Planner:
    """The nodes while a plan is made."""

    def __init__(self, wishes: Sequence[PlacementRequest], nodes: Iterable[Node]) -> None:
        self._nodes = {node.name: node for node in nodes}
        self._typical = sum(wish.bytes for wish in wishes) // len(wishes) if wishes else 0
        self._heaps: dict[frozenset[str], list[tuple[float, str]]] = {}
        self._costs = {name: score(it, self._typical) for name, it in self._nodes.items()}
        self._too_large: dict[tuple[frozenset[str], bool], int] = {}
        """(labels, premium) → the smallest size that has room on no node."""
        self._no_start: dict[tuple[frozenset[str], bool], int] = {}
        """The same, of those that only lack start tokens."""

    def matches(self, wish: PlacementRequest) -> bool:
        """Return whether any node has the labels that a session requires."""
        return bool(self._heap(wish.requires)) or not wish.requires

    def best(self, wish: PlacementRequest) -> str | None:
        """Return the best node for a session.

        Looks at the cheapest node, at the nodes where it failed (they cost
        more), and at its old owner (it costs less).
        """
        kind = (wish.requires, wish.premium)
        if wish.bytes >= min(
            self._too_large.get(kind, wish.bytes + 1), self._no_start.get(kind, wish.bytes + 1)
        ):
            return None
        heap = self._heap(wish.requires)
        aside: list[tuple[float, str]] = []
        best: tuple[float, str] | None = None
        while heap:
            cost, name = heapq.heappop(heap)
            node = self._nodes[name]
            if cost != self._costs[name]:
                continue  # an outdated entry: a newer one is in the heap
            aside.append((cost, name))
            if not fits(node, wish) or node.starts < 1:
                continue
            own = cost + (_FAILED_MALUS if name in wish.failed_nodes else 0.0)
            if best is None or own < best[0]:
                best = (own, name)
            if name not in wish.failed_nodes:
                break
        for entry in aside:
            heapq.heappush(heap, entry)
        owner = self._nodes.get(wish.last_node)
        if owner and fits(owner, wish) and owner.starts >= 1:
            own = self._costs[owner.name] - _OWNER_BONUS
            own += _FAILED_MALUS if owner.name in wish.failed_nodes else 0.0
            if best is None or own < best[0]:
                best = (own, owner.name)
        return best[1] if best else None

    def is_roomy(self, wish: PlacementRequest) -> bool:
        """Return whether some node has room, and only no start token now."""
        kind = (wish.requires, wish.premium)
        if wish.bytes >= self._too_large.get(kind, wish.bytes + 1):
            return False
        roomy = any(fits(node, wish) for node in self._nodes.values())
        held = self._no_start if roomy else self._too_large
        held[kind] = min(wish.bytes, held.get(kind, wish.bytes))
        return roomy

    def take(self, wish: PlacementRequest, name: str) -> Placement:
        """Place a session on a node."""
        node = self._nodes[name]
        node = self._nodes[name] = replace(
            node,
            free=node.free - wish.bytes,
            sessions=node.sessions + 1,
            starts=node.starts - 1,
            starting=node.starting + 1,
        )
        cost = self._costs[name] = score(node, self._typical)
        for labels, heap in self._heaps.items():
            if labels <= node.labels:
                heapq.heappush(heap, (cost, name))
        return Placement(wish.session, name, node.incarnation, wish.bytes)

    def _heap(self, labels: frozenset[str]) -> list[tuple[float, str]]:
        heap = self._heaps.get(labels)
        if heap is None:
            heap = self._heaps[labels] = [
                (self._costs[name], name)
                for name, node in self._nodes.items()
                if labels <= node.labels
            ]
            heapq.heapify(heap)
        return heap
