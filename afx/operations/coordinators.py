"""Acts on the coordinators."""

from __future__ import annotations

from afx.operations.change import Operator, change
from afx.operations.sessions import Requested
from models.storage import controls
from models.storage.control_subjects import CoordinatorsSubject


def recycle(operator: Operator) -> Requested:
    """Let all coordinators begin anew: standbys first, then the one that leads."""
    with change(operator, "coordinator.recycle", "coordinators") as details:
        control = controls.request(
            kind="recycle", subject=CoordinatorsSubject(), actor=operator.actor
        )
        details["control"] = control.id
    return Requested("coordinators", control.id)
