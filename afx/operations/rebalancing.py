"""Rebalancing by hand, with the leader's own plan."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from afx.cluster.registry import Registry
from afx.coordinator.capacity import Capacity, node_loads, rebalance_plan
from afx.coordinator.decisions import rebalance
from afx.errors import UsageError
from afx.operations.changes import change
from afx.operations.context import Context, operation
from afx.operations.leader import wake_leader
from models.base import transaction
from models.storage import controls, placing
from models.storage.control_subjects import SessionSubject


@dataclass(slots=True, frozen=True)
class PlannedMove:
    """One session that would move."""

    session: str
    id: int
    source: str
    target: str


@dataclass(slots=True, frozen=True)
class RebalancePlan:
    """How uneven the nodes are, and which sessions would move."""

    imbalance: float
    """How many times the mean load the fullest node has."""
    moves: tuple[PlannedMove, ...]


@operation("rebalance:read")
def plan(context: Context) -> RebalancePlan:
    """Return what the next round of rebalancing would move."""
    return _plan(context)


def _plan(context: Context) -> RebalancePlan:
    settings = context.settings
    nodes = Registry(context.servers.redis()).all()
    rest = timedelta(minutes=settings.preemption_rest_minutes)
    capacity = Capacity(settings)
    capacity.learn(nodes, placing.class_counts([it.name for it in nodes]))
    moves = rebalance_plan(nodes, rest, capacity)
    names = placing.standing([it.session for it in moves])
    return RebalancePlan(
        round(rebalance.imbalance(node_loads(nodes)), 4),
        tuple(
            PlannedMove(names[it.session].name, it.session, it.source, it.target) for it in moves
        ),
    )


@operation("rebalance:write")
def apply(context: Context) -> RebalancePlan:
    """Request the moves of the plan; a session that moves already is left out."""
    planned = _plan(context)
    if not planned.moves:
        return planned
    requested = []
    with transaction(), change(context, "rebalance.apply", "cluster") as details:
        for it in planned.moves:
            try:
                controls.request(
                    kind="move",
                    subject=SessionSubject(it.id),
                    actor=context.actor.name,
                    target=it.target,
                )
            except UsageError:
                continue  # one is under way
            requested.append(it)
        placing.note_moved([it.id for it in requested])
        details["moves"] = [
            {"session": it.session, "before": it.source, "after": it.target} for it in requested
        ]
    wake_leader(context)
    return RebalancePlan(planned.imbalance, tuple(requested))
