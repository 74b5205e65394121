"""Scaling: how many nodes the cluster should have, and why; what was recommended before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from afx.cluster import scaling_record
from afx.cluster.scaling_record import ResourceDemand
from afx.operations.context import Context, operation
from afx.operations.pages import Page, page_of
from models.storage import scaling

STALE = "stale"


@dataclass(slots=True, frozen=True)
class ScalingRow:
    """One change of the recommendation."""

    id: int
    at: datetime
    decision: str
    current: int
    desired: int
    reason: str
    figures: Mapping[str, Any]


@dataclass(slots=True, frozen=True)
class ScalingStatus:
    """What is recommended now."""

    decision: str
    """hold, out (more nodes) or in (fewer)."""
    is_stale: bool
    """No leader has looked at recent figures: the last good recommendation holds."""
    reason: str
    """One word."""
    text: str
    """The same in a sentence."""
    current: int
    """Ready nodes."""
    desired: int
    needed: int = 0
    """What the moment's figures ask for, within the limits."""
    min_nodes: int = 1
    max_nodes: int = 0
    """0: no limit."""
    overflow: int = 0
    """Sessions that have waited long enough for room."""
    oldest_task_seconds: float = 0.0
    standing_seconds: float = 0.0
    """For how long this has been recommended and not been done."""
    removable: tuple[str, ...] = ()
    """The nodes to drain, in order, for ``in``."""
    alternatives: tuple[str, ...] = ()
    """Nodes any one of which may be drained instead of the first of them."""
    demands: Mapping[str, ResourceDemand] = field(default_factory=dict)
    """By resource: ram (bytes), sessions, cpu (machines)."""

    def variables(self) -> dict[str, str]:
        """Return the figures as the environment of a provider's command."""
        return {
            "SCALE_DECISION": self.decision,
            "SCALE_REASON": self.reason,
            "SCALE_TEXT": self.text,
            "SCALE_CURRENT": str(self.current),
            "SCALE_DESIRED": str(self.desired),
            "SCALE_ADD": str(max(0, self.desired - self.current)),
            "SCALE_REMOVE": " ".join(self.removable),
            "SCALE_ALTERNATIVES": " ".join(self.alternatives),
            "SCALE_MIN_NODES": str(self.min_nodes),
            "SCALE_MAX_NODES": str(self.max_nodes),
            "SCALE_STANDING_SECONDS": str(round(self.standing_seconds)),
        }


@operation("scaling:read")
def status(context: Context) -> ScalingStatus:
    """Return the recommendation; the last good one of SQL when no leader has a recent one."""
    client = context.servers.redis()
    found = scaling_record.read(client)
    last = scaling.latest()
    if found is None:
        return ScalingStatus(
            decision="hold",
            is_stale=True,
            reason=STALE,
            text="no leader has looked at the nodes recently; the last recommendation holds",
            current=last["current"] if last else 0,
            desired=last["desired"] if last else 0,
        )
    return ScalingStatus(
        decision=found.decision,
        is_stale=found.reason == STALE,
        reason=found.reason,
        text=found.text,
        current=found.current,
        desired=found.desired,
        needed=found.needed,
        min_nodes=found.min_nodes,
        max_nodes=found.max_nodes,
        overflow=found.overflow,
        oldest_task_seconds=found.oldest_task_seconds,
        standing_seconds=found.standing_seconds,
        removable=found.removable,
        alternatives=found.alternatives,
        demands=found.demands,
    )


@operation("scaling:read")
def listing(context: Context, *, after: int | None = None, limit: int = 100) -> Page[ScalingRow]:
    """Return recommendations, the newest first."""
    del context
    return page_of(ScalingRow, scaling.listing(before=after, limit=limit))
