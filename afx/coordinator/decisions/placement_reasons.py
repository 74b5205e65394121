"""Why a node may take a session or may not, in words; with what ``placement`` decides by."""

from __future__ import annotations

from afx.coordinator.decisions import placement
from afx.coordinator.decisions.placement import Node, PlacementRequest

_MIB = 1024 * 1024


def against(node: Node, request: PlacementRequest) -> list[str]:
    """Return what keeps a session off a node; empty: it fits."""
    found = []
    missing = sorted(request.requires - node.labels)
    if missing:
        found.append(f"it lacks the label {', '.join(missing)}")
    room = node.free_bytes if request.premium else node.free_bytes - node.premium_reserve_bytes
    if room < request.bytes:
        reserve = "" if request.premium else ", without what is reserved for premium sessions"
        found.append(
            f"it has {max(0, room) / _MIB:.0f} MiB of room{reserve}; "
            f"the session needs {request.bytes / _MIB:.1f} MiB"
        )
    if node.sessions >= node.max_sessions:
        found.append(f"it has {node.sessions} sessions, as many as it may have")
    return found


def cost(node: Node, request: PlacementRequest) -> float:
    """Return what placing a session on a node costs now; the lowest of all nodes wins."""
    return placement.score(node, request.bytes)
