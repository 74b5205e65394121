"""Rebalancing on request, by the plan that the leader uses."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import redis

from afx.cluster.registry import Registry
from afx.config import Settings
from afx.coordinator.capacity import Capacity, node_loads, rebalance_plan
from afx.coordinator.decisions import rebalance
from afx.errors import UsageError
from afx.operations.change import Operator, change
from models.base import transaction
from models.storage import controls, placing
from models.storage.control_subjects import SessionSubject


def plan(settings: Settings, client: redis.Redis) -> dict[str, Any]:
    """Return the imbalance of the nodes, and which sessions would move."""
    nodes = Registry(client).all()
    running = placing.running(timedelta(minutes=settings.preemption_rest_minutes))
    capacity = Capacity(settings)
    capacity.learn(nodes, running)
    shifts = rebalance_plan(nodes, running, capacity)
    names = placing.standing([it.session for it in shifts])
    return {
        "imbalance": round(rebalance.imbalance(node_loads(nodes)), 4),
        "moves": [
            {
                "session": names[it.session].name,
                "id": it.session,
                "source": it.source,
                "target": it.target,
            }
            for it in shifts
        ],
    }


def apply(operator: Operator, settings: Settings, client: redis.Redis) -> dict[str, Any]:
    """Request the moves of the plan; a move that is under way already is left out."""
    found = plan(settings, client)
    if not found["moves"]:
        return found
    with transaction(), change(operator, "rebalance.apply", "cluster") as details:
        for it in list(found["moves"]):
            try:
                controls.request(
                    kind="move",
                    subject=SessionSubject(it["id"]),
                    actor=operator.actor,
                    target=it["target"],
                )
            except UsageError:
                found["moves"].remove(it)
        placing.note_moved([it["id"] for it in found["moves"]])
        details["moves"] = found["moves"]
    return found
