"""Which free sessions are preempted for an unschedulable premium one: a pure choice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from afx.coordinator.decisions.placement import Node, PlacementRequest


@dataclass(slots=True, frozen=True)
class Victim:
    """A free user's session that may be preempted."""

    session: int
    incarnation: str
    bytes: int
    idle: float
    """Seconds since it forwarded anything."""


def choose(
    request: PlacementRequest, nodes: Iterable[Node], victims: Iterable[Victim], most: int
) -> tuple[Victim, ...]:
    """Return the sessions to preempt, so that a premium one fits.

    All are on one node: the fewest, and of equally few the longest idle. Empty
    when ``most`` do not suffice on any node.
    """
    by_node: dict[str, list[Victim]] = {}
    for it in victims:
        by_node.setdefault(it.incarnation, []).append(it)
    best: tuple[tuple[int, float, str], tuple[Victim, ...]] | None = None
    for node in nodes:
        if not request.requires <= node.labels:
            continue
        chosen = _enough(request, node, by_node.get(node.incarnation, ()), most)
        if chosen:
            rank = (len(chosen), -min(it.idle for it in chosen), node.name)
            if best is None or rank < best[0]:
                best = (rank, chosen)
    return best[1] if best else ()


def _enough(
    request: PlacementRequest, node: Node, victims: Sequence[Victim], most: int
) -> tuple[Victim, ...]:
    """Return the fewest victims on a node that make room, or none."""
    bytes_missing = request.bytes - node.free_bytes
    places_missing = node.sessions + 1 - node.max_sessions
    if bytes_missing <= 0 and places_missing <= 0:
        return ()  # it fits already
    # One session that suffices alone is preferred to several large ones.
    alone = [it for it in victims if it.bytes >= bytes_missing and places_missing <= 1]
    if alone and most >= 1:
        return (max(alone, key=lambda it: (it.idle, -it.session)),)
    chosen: list[Victim] = []
    for it in sorted(victims, key=lambda it: (-it.bytes, -it.idle, it.session)):
        if bytes_missing <= 0 and places_missing <= 0:
            break
        chosen.append(it)
        bytes_missing -= it.bytes
        places_missing -= 1
    enough = bytes_missing <= 0 and places_missing <= 0
    return tuple(chosen) if enough and 0 < len(chosen) <= most else ()
