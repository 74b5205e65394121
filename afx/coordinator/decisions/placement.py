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
    """A node as placement sees it; shares are from 0 to 1."""

    name: str
    incarnation: str
    free_bytes: int
    """What it may still take, without its reservations and its headroom."""
    capacity_bytes: int
    """What it could use in all: what it uses now, and what is free."""
    cpu: float
    sessions: int
    max_sessions: int
    starts: int
    """Sessions that it may start now (its start tokens)."""
    starting: int = 0
    flaps: int = 0
    """How often it died recently."""
    labels: frozenset[str] = frozenset()
    """``key=value`` of its region, kind, …"""
    premium_reserve_bytes: int = 0
    """Part of ``free_bytes`` that only premium users' sessions may take."""


@dataclass(slots=True, frozen=True)
class PlacementRequest:
    """A session that is to be placed."""

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
    """The sessions' places; ``full`` fit on no node, ``later`` wait for start tokens."""

    placed: tuple[Placement, ...]
    full: tuple[int, ...]
    later: tuple[int, ...]
    unmatched: tuple[int, ...] = ()
    """No node has the labels that they require."""


def steep(share: float) -> float:
    """Return (10^u − 1)/9: the cost rises steeply as a resource is used up."""
    return float((10.0 ** min(1.0, max(0.0, share)) - 1) / 9)


def score(node: Node, needed: int) -> float:
    """Return what placing ``needed`` bytes on a node costs; lower wins.

    The session's own terms (its old owner, where it failed) come on top.
    """
    used = 1 - (node.free_bytes - needed) / node.capacity_bytes if node.capacity_bytes else 1.0
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


def fits(node: Node, request: PlacementRequest) -> bool:
    """Return whether a node has room for a session, and the labels it requires."""
    room = node.free_bytes if request.premium else node.free_bytes - node.premium_reserve_bytes
    return (
        room >= request.bytes
        and node.sessions < node.max_sessions
        and request.requires <= node.labels
    )


def plan(requests: Sequence[PlacementRequest], nodes: Iterable[Node]) -> Plan:
    """Place sessions, in the order given, each on the node with the lowest score.

    Nodes are in heaps by their score for an average session, one heap for each
    set of required labels: a placement changes one node only, so each costs
    O(log nodes). Nodes only fill up: a size that was too large for all of them
    once is not tried again.
    """
    planner = _Planner(requests, nodes)
    placed: list[Placement] = []
    full: list[int] = []
    later: list[int] = []
    unmatched: list[int] = []
    for request in requests:
        if not planner.matches(request):
            unmatched.append(request.session)
            continue
        best = planner.best(request)
        if best is None:
            (later if planner.is_roomy(request) else full).append(request.session)
        else:
            placed.append(planner.take(request, best))
    return Plan(tuple(placed), tuple(full), tuple(later), tuple(unmatched))


class _Planner:
    """The nodes, as they change while a plan is made."""

    def __init__(self, requests: Sequence[PlacementRequest], nodes: Iterable[Node]) -> None:
        self._nodes = {node.name: node for node in nodes}
        self._typical = (
            sum(request.bytes for request in requests) // len(requests) if requests else 0
        )
        self._heaps: dict[frozenset[str], list[tuple[float, str]]] = {}
        self._costs = {name: score(it, self._typical) for name, it in self._nodes.items()}
        self._too_large: dict[tuple[frozenset[str], bool], int] = {}
        """(labels, premium) → the smallest size for which no node has room."""
        self._no_start: dict[tuple[frozenset[str], bool], int] = {}
        """The same, for nodes that only lack start tokens."""

    def matches(self, request: PlacementRequest) -> bool:
        """Return whether any node has the labels that a session requires."""
        return bool(self._heap(request.requires)) or not request.requires

    def best(self, request: PlacementRequest) -> str | None:
        """Return the best node for a session.

        Considers the node with the lowest score, the nodes where the session
        failed (they cost more), and its previous node (it costs less).
        """
        kind = (request.requires, request.premium)
        if request.bytes >= min(
            self._too_large.get(kind, request.bytes + 1),
            self._no_start.get(kind, request.bytes + 1),
        ):
            return None
        heap = self._heap(request.requires)
        aside: list[tuple[float, str]] = []
        best: tuple[float, str] | None = None
        while heap:
            cost, name = heapq.heappop(heap)
            node = self._nodes[name]
            if cost != self._costs[name]:
                continue  # outdated: the heap has a newer entry of this node
            aside.append((cost, name))
            if not fits(node, request) or node.starts < 1:
                continue
            own = cost + (_FAILED_MALUS if name in request.failed_nodes else 0.0)
            if best is None or own < best[0]:
                best = (own, name)
            if name not in request.failed_nodes:
                break
        for entry in aside:
            heapq.heappush(heap, entry)
        owner = self._nodes.get(request.last_node)
        if owner and fits(owner, request) and owner.starts >= 1:
            own = self._costs[owner.name] - _OWNER_BONUS
            own += _FAILED_MALUS if owner.name in request.failed_nodes else 0.0
            if best is None or own < best[0]:
                best = (own, owner.name)
        return best[1] if best else None

    def is_roomy(self, request: PlacementRequest) -> bool:
        """Return whether some node has room, and only lacks a start token."""
        kind = (request.requires, request.premium)
        if request.bytes >= self._too_large.get(kind, request.bytes + 1):
            return False
        roomy = any(fits(node, request) for node in self._nodes.values())
        limits = self._no_start if roomy else self._too_large
        limits[kind] = min(request.bytes, limits.get(kind, request.bytes))
        return roomy

    def take(self, request: PlacementRequest, name: str) -> Placement:
        """Place a session on a node."""
        node = self._nodes[name]
        node = self._nodes[name] = replace(
            node,
            free_bytes=node.free_bytes - request.bytes,
            sessions=node.sessions + 1,
            starts=node.starts - 1,
            starting=node.starting + 1,
        )
        cost = self._costs[name] = score(node, self._typical)
        for labels, heap in self._heaps.items():
            if labels <= node.labels:
                heapq.heappush(heap, (cost, name))
        return Placement(request.session, name, node.incarnation, request.bytes)

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
