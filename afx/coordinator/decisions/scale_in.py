"""Which nodes the cluster can do without: a drain, simulated before anyone asks for it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from afx.process_names import node_of


@dataclass(slots=True, frozen=True)
class NodeFigures:
    """A live node, as scaling sees it."""

    name: str
    incarnation: str
    used_bytes: int
    """RAM of its sessions with what is reserved, without what the empty node needs."""
    capacity_bytes: int
    """RAM that sessions may use in all."""
    sessions: int
    max_sessions: int
    cpu: float
    """Share of the machine's CPU, 0 to 1."""
    is_ready: bool = True
    """It may get sessions; a node that is cordoned or drained may not."""
    is_fresh: bool = True
    """Its last heartbeat is recent."""
    labels: frozenset[str] = frozenset()

    @property
    def load(self) -> float:
        """How full it is: its scarcest resource, 0 to 1."""
        return max(
            _share(self.used_bytes, self.capacity_bytes),
            _share(self.sessions, self.max_sessions),
            self.cpu,
        )


def by_node(processes: Iterable[NodeFigures]) -> tuple[NodeFigures, ...]:
    """Return the nodes to which host processes belong: what is added and removed is a node."""
    nodes: dict[str, list[NodeFigures]] = defaultdict(list)
    for it in processes:
        nodes[node_of(it.name)].append(it)
    return tuple(_whole(name, parts) for name, parts in nodes.items())


def _whole(name: str, parts: Sequence[NodeFigures]) -> NodeFigures:
    if len(parts) == 1:
        return replace(parts[0], name=name)
    return NodeFigures(
        name,
        min(it.incarnation for it in parts),
        sum(it.used_bytes for it in parts),
        sum(it.capacity_bytes for it in parts),
        sum(it.sessions for it in parts),
        sum(it.max_sessions for it in parts),
        sum(it.cpu for it in parts) / len(parts),
        is_ready=any(it.is_ready for it in parts),
        is_fresh=all(it.is_fresh for it in parts),
        labels=parts[0].labels,
    )


def quiet_since(
    before: Mapping[str, float], nodes: Iterable[NodeFigures], load: float, now: float
) -> dict[str, float]:
    """Return since when each incarnation has been below a load; others are not in it."""
    return {
        it.incarnation: before.get(it.incarnation, now)
        for it in nodes
        if it.is_ready and it.load < load
    }


def removable(
    nodes: Sequence[NodeFigures], quiet: Iterable[str], most: int, peers_load: float
) -> list[str]:
    """Return the names of nodes that may be drained one after the other, the emptiest first.

    ``quiet`` are the incarnations that have been quiet for long enough. After each drain no
    other node is fuller than ``peers_load``; what nodes that are drained already still run
    is placed first. Sessions move to nodes that have all labels of their node: whatever
    they require, they find it there.
    """
    peers = {it.name: it for it in nodes if it.is_ready}
    for it in nodes:
        if not it.is_ready:
            after = _drained(it, peers, peers_load)
            if after is None:
                return []
            peers = after
    allowed = set(quiet)
    candidates = [it for it in peers.values() if it.incarnation in allowed]
    chosen: list[str] = []
    for it in sorted(candidates, key=lambda it: (it.sessions, it.used_bytes, it.name)):
        if len(chosen) >= most:
            break
        others = {name: peer for name, peer in peers.items() if name != it.name}
        after = _drained(peers[it.name], others, peers_load)
        if after is not None:
            peers = after
            chosen.append(it.name)
    return chosen


def alternatives(
    nodes: Sequence[NodeFigures], quiet: Iterable[str], most: int, peers_load: float
) -> list[str]:
    """Return the names of nodes each of which may be drained alone, the emptiest first.

    For a provider that may not stop those of ``removable``: any one of these will do.
    """
    allowed = set(quiet)
    candidates = [it for it in nodes if it.is_ready and it.incarnation in allowed]
    found: list[str] = []
    for it in sorted(candidates, key=lambda it: (it.sessions, it.used_bytes, it.name)):
        if len(found) >= most:
            break
        if removable(nodes, [it.incarnation], 1, peers_load):
            found.append(it.name)
    return found


def _drained(
    node: NodeFigures, peers: Mapping[str, NodeFigures], most_load: float
) -> dict[str, NodeFigures] | None:
    """Return the peers with the sessions of a node, None when they have no room for them."""
    found = dict(peers)
    left = node.sessions
    if not left:
        return found
    size = node.used_bytes / left
    cpu = node.cpu / left
    for it in sorted(peers.values(), key=lambda it: (it.load, it.name)):
        if not node.labels <= it.labels:
            continue
        count = min(left, _room(it, size, cpu, most_load))
        if count:
            found[it.name] = replace(
                it,
                used_bytes=it.used_bytes + int(size * count),
                sessions=it.sessions + count,
                cpu=it.cpu + cpu * count,
            )
            left -= count
        if not left:
            return found
    return None


def _room(node: NodeFigures, size: float, cpu: float, most_load: float) -> int:
    """Return how many sessions of a size a node takes before it is as full as allowed."""
    rooms = [most_load * node.max_sessions - node.sessions]
    if size > 0:
        rooms.append((most_load * node.capacity_bytes - node.used_bytes) / size)
    if cpu > 0:
        rooms.append((most_load - node.cpu) / cpu)
    return max(0, int(min(rooms)))


def _share(part: float, whole: float) -> float:
    """Return a part's share; nothing can take anything more."""
    return part / whole if whole > 0 else 1.0
